/*
 * Steps the wall clock of one process, as a clock that is set does: preloaded (ld.so(8), LD_PRELOAD), it adds to every reading of the wall
 * clock the seconds that the file ASSAY_TEST_CLOCK holds (a 64-bit integer in the machine's byte order, which may change at any time).
 * What measures lengths of time (CLOCK_MONOTONIC) goes on undisturbed, as it does when a real clock is set.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *step;

__attribute__((constructor)) static void open_step(void) {
  const char *path = getenv("ASSAY_TEST_CLOCK");
  int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) abort();
  void *there = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (there == MAP_FAILED) abort();
  close(file);
  step = there;
}

static int64_t seconds(void) { return step == NULL ? 0 : *step; }

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = (int)syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += seconds();
  return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  int result = (int)syscall(SYS_gettimeofday, time, zone);
  if (result == 0) time->tv_sec += seconds();
  return result;
}

time_t time(time_t *result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != NULL) *result = now.tv_sec;
  return now.tv_sec;
}
