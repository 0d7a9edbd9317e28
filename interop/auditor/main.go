// Auditor walks a tiled Merkle log from its public files alone (C2SP tlog-tiles, tlog-checkpoint, signed-note) and believes nothing
// else. It shares no code with the server: Go's standard library only.
//
//	auditor -url http://127.0.0.1:8400/logs/record -vkey "name+hash+key" [-previous FILE]... [-includes FILE] [-save FILE]
//
// It recomputes every tile and the root from the entries, checks the checkpoint's signature, and, when given an earlier checkpoint,
// recomputes the earlier root from the same entries: the log then only grew. Given many, kept from several servers of the same log, it
// shows that none of them ever showed another history. The lines of -includes, "<index> <entry in hex>", must be entries at their places.
// Exit status 0: everything holds; 1: it does not; 3: it could not be found out.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

const tileWidth = 256

type checkpoint struct {
	origin string
	size   uint64
	root   []byte
}

// verifierKey is a signed-note vkey: name+hash+base64(algorithm byte, key).
type verifierKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func parseVkey(text string) (verifierKey, error) {
	parts := strings.SplitN(strings.TrimSpace(text), "+", 3)
	if len(parts) != 3 {
		return verifierKey{}, errors.New("vkey is not name+hash+key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != 1 {
		return verifierKey{}, errors.New("vkey holds no Ed25519 key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), raw...))
	hash := binary.BigEndian.Uint32(sum[:4])
	if said, err := strconv.ParseUint(parts[1], 16, 32); err != nil || uint32(said) != hash {
		return verifierKey{}, errors.New("vkey's hash does not belong to its key")
	}
	return verifierKey{parts[0], hash, raw[1:]}, nil
}

func openCheckpoint(note []byte, key verifierKey) (checkpoint, error) {
	split := bytes.LastIndex(note, []byte("\n\n"))
	if split < 0 {
		return checkpoint{}, errors.New("checkpoint is no signed note")
	}
	text, signatures := note[:split+1], string(note[split+2:])
	verified := false
	for _, line := range strings.Split(strings.TrimSuffix(signatures, "\n"), "\n") {
		fields := strings.Split(line, " ")
		if len(fields) != 3 || fields[0] != "—" || fields[1] != key.name {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil || len(raw) != 4+ed25519.SignatureSize || binary.BigEndian.Uint32(raw) != key.hash {
			continue
		}
		if !ed25519.Verify(key.key, text, raw[4:]) {
			return checkpoint{}, errors.New("the log's signature on the checkpoint is wrong")
		}
		verified = true
	}
	if !verified {
		return checkpoint{}, errors.New("the checkpoint is not signed by the log's key")
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 4 {
		return checkpoint{}, errors.New("checkpoint has fewer than three lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint size: %w", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return checkpoint{}, errors.New("checkpoint root is not a base64 SHA-256")
	}
	if lines[0] != key.name {
		return checkpoint{}, fmt.Errorf("checkpoint is of %q, the key of %q", lines[0], key.name)
	}
	return checkpoint{lines[0], size, root}, nil
}

func leafHash(entry []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, entry...))
	return sum[:]
}

func nodeHash(left, right []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return sum[:]
}

// root is the Merkle Tree Hash of RFC 6962 section 2.1, by its own recursive definition.
func root(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	return nodeHash(root(leaves[:split]), root(leaves[split:]))
}

// tileIndex writes N as tlog-tiles does: groups of three digits, all but the last with an x.
func tileIndex(n uint64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}

type source struct{ base string }

func (s source) get(path string) ([]byte, error) {
	if !strings.HasPrefix(s.base, "http") {
		return os.ReadFile(s.base + "/" + path)
	}
	answer, err := http.Get(s.base + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// tile gets a tile of at least `width` hashes (or entries): the partial one of that width, else the full one.
func (s source) tile(kind string, n, width uint64) ([]byte, error) {
	path := "tile/" + kind + "/" + tileIndex(n)
	if width < tileWidth {
		if got, err := s.get(fmt.Sprintf("%s.p/%d", path, width)); err == nil {
			return got, nil
		}
	}
	return s.get(path)
}

func entries(s source, size uint64) ([][]byte, error) {
	var all [][]byte
	for n := uint64(0); n*tileWidth < size; n++ {
		width := min(size-n*tileWidth, tileWidth)
		bundle, err := s.tile("entries", n, width)
		if err != nil {
			return nil, err
		}
		for i := uint64(0); i < width; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("entry bundle %d is too short", n)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			all = append(all, bundle[2:2+length])
			bundle = bundle[2+length:]
		}
	}
	return all, nil
}

// checkTiles compares every tile of every level with the hashes that the level below gives.
func checkTiles(s source, leaves [][]byte) (int, error) {
	count := 0
	for level, hashes := 0, leaves; len(hashes) > 0; level++ {
		var above [][]byte
		for n := 0; n*tileWidth < len(hashes); n++ {
			part := hashes[n*tileWidth : min(len(hashes), (n+1)*tileWidth)]
			got, err := s.tile(strconv.Itoa(level), uint64(n), uint64(len(part)))
			if err != nil {
				return count, err
			}
			want := bytes.Join(part, nil)
			if len(got) < len(want) || !bytes.Equal(got[:len(want)], want) {
				return count, fmt.Errorf("tile %d of level %d does not hold what the entries give", n, level)
			}
			count++
			if len(part) == tileWidth {
				above = append(above, root(part))
			}
		}
		hashes = above
	}
	return count, nil
}

// checkIncluded looks for each named entry at its very place.
func checkIncluded(path string, all [][]byte) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("unreachable: %w", err)
	}
	count := 0
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		place, entry, _ := strings.Cut(line, " ")
		index, err := strconv.ParseUint(place, 10, 63)
		if err != nil {
			return fmt.Errorf("%q is no line of an index and an entry", line)
		}
		if index >= uint64(len(all)) || hex.EncodeToString(all[index]) != entry {
			if index >= uint64(len(all)) {
				return fmt.Errorf("entry %d was acknowledged, and the log ends after %d entries", index, len(all))
			}
			return fmt.Errorf("entry %d is not the one that was acknowledged", index)
		}
		count++
	}
	fmt.Printf("all %d acknowledged entries are at their places\n", count)
	return nil
}

func audit() error {
	base := flag.String("url", "", "the log's base URL (or directory)")
	vkeyText := flag.String("vkey", "", "the log's verifier key")
	var previous []string
	flag.Func("previous", "file of an earlier checkpoint to be consistent with; may be given again", func(path string) error {
		previous = append(previous, path)
		return nil
	})
	includes := flag.String("includes", "", "file of lines \"<index> <entry in hex>\" that must be in the log")
	save := flag.String("save", "", "file to keep the checkpoint in")
	flag.Parse()
	key, err := parseVkey(*vkeyText)
	if err != nil {
		return err
	}
	log := source{strings.TrimSuffix(*base, "/")}
	note, err := log.get("checkpoint")
	if err != nil {
		return fmt.Errorf("unreachable: %w", err)
	}
	now, err := openCheckpoint(note, key)
	if err != nil {
		return err
	}
	all, err := entries(log, now.size)
	if err != nil {
		return err
	}
	leaves := make([][]byte, len(all))
	for i, entry := range all {
		leaves[i] = leafHash(entry)
	}
	if got := root(leaves); !bytes.Equal(got, now.root) {
		return fmt.Errorf("the entries have the root %s, the checkpoint says %s", hex.EncodeToString(got), hex.EncodeToString(now.root))
	}
	tiles, err := checkTiles(log, leaves)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d entries, %d tiles, root %s: signature and root hold\n", now.origin, now.size, tiles, hex.EncodeToString(now.root))
	for _, path := range previous {
		old, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("unreachable: %w", err)
		}
		before, err := openCheckpoint(old, key)
		if err != nil {
			return err
		}
		if before.size > now.size {
			return fmt.Errorf("the log shrank: %d entries before, %d now", before.size, now.size)
		}
		if !bytes.Equal(root(leaves[:before.size]), before.root) {
			return fmt.Errorf("the first %d entries are not those of the earlier checkpoint: history was rewritten", before.size)
		}
		fmt.Printf("consistent with the earlier checkpoint over %d entries\n", before.size)
	}
	if *includes != "" {
		if err := checkIncluded(*includes, all); err != nil {
			return err
		}
	}
	if *save != "" {
		if err := os.WriteFile(*save, note, 0o644); err != nil {
			return fmt.Errorf("unreachable: %w", err)
		}
	}
	return nil
}

func main() {
	if err := audit(); err != nil {
		fmt.Fprintln(os.Stderr, "auditor:", err)
		if strings.HasPrefix(err.Error(), "unreachable") {
			os.Exit(3)
		}
		os.Exit(1)
	}
}
