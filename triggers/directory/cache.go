package directory

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// A cache is a file that remembers the checksums of delivered files, a line a
// file, the last line of a key being the one that counts. Each line carries its
// own CRC, so a line that was cut or spoilt is as good as none. All it saves is
// work: when it cannot be read or written, it is done without.
type cache struct {
	path   string
	log    *slog.Logger
	f      *os.File // nil if there is none
	lines  int
	torn   bool // the last line may have been cut
	failed bool // the last write
}

// remembered is what the cache knows about a file.
type remembered struct {
	stamp stamp
	sum   [sha256.Size]byte
}

// line is the JSON of a line, behind its CRC-32C.
type line struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Mtime  int64  `json:"mtime"`
	Inode  uint64 `json:"inode"`
	SHA256 string `json:"sha256"`
}

func (l line) stamp() stamp { return stamp{l.Size, l.Mtime, l.Inode} }

func openCache(path string, log *slog.Logger) *cache {
	c := &cache{path: path, log: log}
	if path == "" {
		return c
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		c.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	}
	if err != nil {
		c.log.Warn(notRemembered, "cache", path, "err", err)
		c.f = nil
		return c
	}
	c.torn = true
	return c
}

const notRemembered = "checksums are not remembered, the next start reads more files than it must"

// load reads the whole cache.
func (c *cache) load() map[string]remembered {
	all := make(map[string]remembered)
	err := c.each(func(l line, _ []byte) error {
		var r remembered
		if n, err := hex.Decode(r.sum[:], []byte(l.SHA256)); err != nil || n != sha256.Size {
			return nil
		}
		r.stamp = l.stamp()
		all[l.Key] = r
		return nil
	})
	if err != nil {
		c.log.Warn("checksums are not known any more, files are read again", "cache", c.path, "err", err)
	}
	return all
}

// each calls visit with every sound line and its text, and counts all.
func (c *cache) each(visit func(l line, text []byte) error) error {
	if c.f == nil {
		return nil
	}
	c.lines = 0
	in := bufio.NewScanner(io.NewSectionReader(c.f, 0, 1<<62))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		c.lines++
		var l line
		crc, text, ok := bytes.Cut(in.Bytes(), []byte(" "))
		if !ok || string(crc) != checksum(text) || json.Unmarshal(text, &l) != nil {
			continue
		}
		if err := visit(l, in.Bytes()); err != nil {
			return err
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil // not a line of ours, and the rest is not worth finding
	}
	return in.Err()
}

// add remembers a delivered file.
func (c *cache) add(f file) {
	if c.f == nil {
		return
	}
	text := encode(line{f.key, f.size, f.mtime, f.inode, hex.EncodeToString(f.sum[:])})
	if c.torn {
		text = append([]byte("\n"), text...)
	}
	_, err := c.f.Write(text)
	if err != nil && !c.failed {
		c.log.Warn(notRemembered, "cache", c.path, "err", err)
	}
	c.torn, c.failed = err != nil, err != nil
	c.lines++
}

func encode(l line) []byte {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // unreachable: a struct of strings and numbers has a JSON form
	}
	return fmt.Appendf(nil, "%s %s\n", checksum(text), text)
}

func checksum(text []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
}

// compact drops what is not known any more, once that is most of it.
func (c *cache) compact(keep map[string]known) {
	if c.f == nil || c.lines <= 2*len(keep)+1000 {
		return
	}
	if err := c.compactTo(c.path+".tmp", keep); err != nil {
		os.Remove(c.path + ".tmp")
		c.log.Warn("memory of checksums grows", "cache", c.path, "err", err)
		c.lines = 0 // tries again when as much has come again
	}
}

func (c *cache) compactTo(temp string, keep map[string]known) error {
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	written := make(map[string]bool, len(keep))
	err = c.each(func(l line, text []byte) error {
		if k, ok := keep[l.Key]; !ok || k.stamp != l.stamp() || written[l.Key] {
			return nil
		}
		written[l.Key] = true
		_, err := out.Write(append(text, '\n'))
		return err
	})
	err = errors.Join(err, out.Flush())
	if err == nil {
		err = os.Rename(temp, c.path)
	}
	if err != nil {
		f.Close()
		return err
	}
	c.f.Close()
	c.f, c.lines, c.torn = f, len(written), false
	return nil
}

func (c *cache) close() {
	if c.f != nil {
		c.f.Close()
	}
}
