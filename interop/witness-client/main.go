// A log that others wrote: Tessera on a directory, which publishes no checkpoint that its witnesses have not cosigned. It reads the policy
// (tlog-policy), asks the witnesses and verifies what they answer by itself; only this file, which starts it, is Assay's own.
//
//	witness-client -origin O -show                              says the log's verifier key
//	witness-client -origin O -policy P -data D -add N           adds N entries, waits until they are published, says the checkpoint
//
// It ends with 1 when the entries are not published in time: that is, when the witnesses do not cosign.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// keyOf gives the key that follows from an origin, so that one run can tell it and the next use it. It guards nothing.
func keyOf(origin string) (signer note.Signer, vkey string, err error) {
	seed := sha256.Sum256([]byte(origin))
	public := append([]byte{1}, ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)...)
	hash := sha256.Sum256(append([]byte(origin+"\n"), public...))
	base64Of := base64.StdEncoding.EncodeToString
	vkey = fmt.Sprintf("%s+%x+%s", origin, hash[:4], base64Of(public))
	signer, err = note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", origin, hash[:4], base64Of(append([]byte{1}, seed[:]...))))
	return signer, vkey, err
}

func run() error {
	origin := flag.String("origin", "", "the log's origin")
	show := flag.Bool("show", false, "only say the log's verifier key")
	policyFile := flag.String("policy", "", "file of the witness policy")
	data := flag.String("data", "", "directory of the log")
	add := flag.Int("add", 1, "entries to add")
	name := flag.String("name", "entry", "what the entries begin with")
	patience := flag.Duration("patience", 10*time.Second, "how long to wait for publication")
	flag.Parse()
	signer, vkey, err := keyOf(*origin)
	if err != nil {
		return err
	}
	if *show {
		fmt.Println(vkey)
		return nil
	}
	text, err := os.ReadFile(*policyFile)
	if err != nil {
		return err
	}
	witnesses, err := tessera.NewWitnessGroupFromPolicy(text)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *patience)
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: *data})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(200*time.Millisecond).
		WithBatching(64, 50*time.Millisecond).
		WithWitnesses(witnesses, &tessera.WitnessOptions{Timeout: 5 * time.Second})
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	futures := make([]tessera.IndexFuture, *add)
	for i := range futures {
		futures[i] = appender.Add(ctx, tessera.NewEntry(fmt.Appendf(nil, "%s %d", *name, i)))
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	var checkpoint []byte
	for _, future := range futures {
		if _, checkpoint, err = awaiter.Await(ctx, future); err != nil {
			return fmt.Errorf("not published: %w", err)
		}
	}
	if !witnesses.Satisfied(checkpoint) {
		return fmt.Errorf("published without a quorum")
	}
	fmt.Print(string(checkpoint))
	return shutdown(ctx)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "witness-client:", err)
		os.Exit(1)
	}
}
