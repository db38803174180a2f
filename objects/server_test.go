package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/anneal-ml/anneal/cloud/cloudtest"
)

// A server speaks S3 and is another's work.
type server struct {
	name    string
	version bool // it keeps versions
	command func(port, dir string) *exec.Cmd
}

var servers = []server{
	{"moto", true, func(port, dir string) *exec.Cmd { return exec.Command("moto_server", "-H", "127.0.0.1", "-p", port) }},
	{"versitygw", false, func(port, dir string) *exec.Cmd {
		cmd := exec.Command("../.tools/bin/versitygw", "--port", "127.0.0.1:"+port, "posix", dir)
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=test", "ROOT_SECRET_KEY=testtest")
		return cmd
	}},
}

// start runs the server, as the environment's S3, with a bucket.
func (s server) start(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir()
	if path, err := exec.LookPath(s.command("", dir).Path); err != nil {
		if os.Getenv("ANNEAL_STRICT") != "" {
			t.Fatalf("%s is not there: `make tools` gets versitygw, pip gets moto[server]: %v", s.name, err)
		}
		t.Skipf("%s is not there", path)
	}
	environment(t, cloudtest.Start(t, "/", func(port string) *exec.Cmd { return s.command(port, dir) }))
	store := reached(t, S3{})
	client, _, err := store.s3.reach(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	return store
}

// environment is that of an S3 of ours, and of nothing else of AWS.
func environment(t *testing.T, endpoint string) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest",
		"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
}

func reached(t *testing.T, cfg S3) *Store {
	t.Helper()
	store, err := New(Config{S3: &cfg, Buckets: map[string]string{"mapped": t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func write(t *testing.T, s *Store, uri string, data []byte) {
	t.Helper()
	w, err := s.Create(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, s *Store, uri string, v Version) []byte {
	t.Helper()
	r, _, err := s.OpenVersion(t.Context(), uri, v)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func uris(infos []Info) string {
	var all []string
	for _, info := range infos {
		all = append(all, fmt.Sprintf("%s %d", info.URI, info.Bytes))
	}
	return strings.Join(all, "\n")
}

// random is n bytes, the same each time.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestS3Servers(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			s := server.start(t)
			t.Run("objects", func(t *testing.T) { testObjects(t, s) })
			t.Run("versions", func(t *testing.T) { testVersions(t, s, server.version) })
			t.Run("random", func(t *testing.T) { testRandom(t, s) })
			t.Run("stage", func(t *testing.T) { testStage(t, s) })
		})
	}
}

func testObjects(t *testing.T, s *Store) {
	ctx := t.Context()
	large := random(2*partSize + 17)
	keys := []string{"tr.csv", "train/a.csv", "train/b c+ü.csv", "train/sub/d.csv", "train/sub/e.json"}
	for _, key := range keys {
		write(t, s, "s3://data/"+key, []byte("x\n1\n"))
	}
	write(t, s, "s3://data/large", large)
	if got := readAll(t, s, "s3://data/large", Version{}); !bytes.Equal(got, large) {
		t.Errorf("%d bytes written in parts; want %d, and the same", len(got), len(large))
	}
	if info, err := s.Stat(ctx, "s3://data/large"); err != nil || info.Bytes != int64(len(large)) || info.Version.ETag == "" {
		t.Errorf("of a large object: %+v, %v", info, err)
	}
	if sum, n, err := s.Checksum(ctx, "s3://data/tr.csv"); sum != versionOf("x\n1\n") || n != 4 || err != nil {
		t.Errorf("checksum %s of %d bytes, %v", sum, n, err)
	}
	dropped, err := s.Create(ctx, "s3://data/dropped")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dropped.Write(large); err != nil {
		t.Fatal(err)
	}
	if err := dropped.Close(); err != nil {
		t.Errorf("drop what was begun: %v", err)
	}
	for _, c := range []struct{ word, want string }{
		{"s3://data/train/a.csv", "s3://data/train/a.csv 4"},
		{"s3://data/tr*.csv", "s3://data/tr.csv 4"},
		{"s3://data/train/*.csv", "s3://data/train/a.csv 4\ns3://data/train/b c+ü.csv 4"},
		{"s3://data/train/s*", "s3://data/train/sub/d.csv 4\ns3://data/train/sub/e.json 4"},
		{"s3://data/train/sub", "s3://data/train/sub/d.csv 4\ns3://data/train/sub/e.json 4"},
		{"s3://data/*/*/*.json", "s3://data/train/sub/e.json 4"},
	} {
		if got, err := s.Glob(ctx, c.word); uris(got) != c.want || err != nil {
			t.Errorf("%s: %v\n got %s\nwant %s", c.word, err, uris(got), c.want)
		}
	}
	all, err := s.List(ctx, "s3://data/tr")
	if err != nil || len(all) != len(keys) {
		t.Errorf("%d objects with the prefix; want %d: %v", len(all), len(keys), err)
	}
	for word, want := range map[string]error{"s3://data/none": ErrNotFound, "s3://data/train/x*": ErrNotFound, "s3://nobody/": ErrNotFound} {
		if _, err := s.Glob(ctx, word); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", word, err, want)
		}
	}
	for _, uri := range []string{"s3://data/none.csv", "s3://data/dropped", "s3://nobody/a.csv"} {
		if _, _, err := s.Open(ctx, uri); !errors.Is(err, ErrNotFound) {
			t.Errorf("open %s: %v; want %v", uri, err, ErrNotFound)
		}
	}
	for range 2 {
		if err := s.Remove(ctx, "s3://data/large"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Stat(ctx, "s3://data/large"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a removed object: %v", err)
	}
}

// A version is one content: by its ID where the bucket keeps versions, else it is
// told that it has gone.
func testVersions(t *testing.T, s *Store, kept bool) {
	ctx, uri := t.Context(), "s3://data/versions.csv"
	if kept {
		client, _, _ := s.s3.reach(ctx, "data")
		_, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String("data"),
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, uri, []byte("one"))
	old, err := s.Stat(ctx, uri)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, uri, []byte("two"))
	if _, _, err := s.OpenVersion(ctx, uri, Version{ETag: old.Version.ETag}); !errors.Is(err, ErrChanged) {
		t.Errorf("open by the old ETag: %v; want %v", err, ErrChanged)
	}
	if !kept {
		return
	}
	if got := readAll(t, s, uri, old.Version); string(got) != "one" {
		t.Errorf("the old version is %q", got)
	}
	if _, _, err := s.OpenVersion(ctx, uri, Version{ID: "00000000-0000-0000-0000-000000000000"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that never was: %v; want %v", err, ErrNotFound)
	}
}

func testRandom(t *testing.T, s *Store) {
	data := random(5*blockSize + 4321)
	write(t, s, "s3://data/random", data)
	r, _, err := s.Open(t.Context(), "s3://data/random")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at := r.(io.ReaderAt)
	for _, c := range [][2]int{{len(data) - 8, 8}, {0, 4}, {blockSize - 3, 10}, {100, 3 * blockSize}, {len(data) - 5, 10}, {0, len(data)}} {
		p := make([]byte, c[1])
		n, err := at.ReadAt(p, int64(c[0]))
		want := data[c[0]:min(len(data), c[0]+c[1])]
		if !bytes.Equal(p[:n], want) || (err == io.EOF) != (n < c[1]) || err != nil && err != io.EOF {
			t.Errorf("%d bytes at %d: %d, %v", c[1], c[0], n, err)
		}
	}
}

func testStage(t *testing.T, s *Store) {
	ctx := t.Context()
	for name, text := range map[string]string{"s3://data/in/a.csv": "a", "s3://data/in/sub/a.csv": "other a", "s3://data/in/b%20b.csv": "b", "s3://mapped/c.csv": "c"} {
		write(t, s, name, []byte(text))
	}
	a, err := s.Stat(ctx, "s3://data/in/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	sources := []Source{
		{URI: "s3://data/in/a.csv", Version: "sequencer", Remote: a.Version}, {URI: "s3://data/in/sub/a.csv", Version: versionOf("other a")},
		{URI: "s3://data/in/b%20b.csv"}, {URI: "s3://mapped/c.csv", Version: versionOf("c")},
	}
	for _, dst := range []string{"s3://data/staging/run-1/", "s3://mapped/staging/run-1/"} {
		for again := range 2 {
			if err := s.Stage(ctx, dst, sources); err != nil {
				t.Fatalf("stage to %s: %v", dst, err)
			}
			staged, err := s.List(ctx, dst)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, info := range staged {
				got = append(got, string(readAll(t, s, info.URI, Version{})))
			}
			slices.Sort(got)
			if strings.Join(got, " ") != "a b c other a" {
				t.Errorf("time %d: staged %q under %s", again, got, dst)
			}
		}
		if err := s.Stage(ctx, dst, sources[:2]); !errors.Is(err, ErrChanged) {
			t.Errorf("stage less to %s: %v; want %v", dst, err, ErrChanged)
		}
	}
	other := slices.Clone(sources)
	other[2].Version = "another"
	if err := s.Stage(ctx, "s3://data/staging/run-1/", other); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "another b%20b.csv") {
		t.Errorf("stage another version: %v", err)
	}
	for _, bad := range []Source{{URI: "s3://mapped/c.csv", Version: versionOf("x")}, {URI: "s3://data/in/a.csv", Version: versionOf("x")}} {
		if err := s.Stage(ctx, "s3://data/staging/bad/", []Source{bad}); !errors.Is(err, ErrChanged) {
			t.Errorf("stage %s of another content: %v", bad.URI, err)
		}
	}
	if list, err := s.List(ctx, "s3://data/staging/bad/"); len(list) > 0 || err != nil {
		t.Errorf("what was not to be staged is there: %v, %v", list, err)
	}
	write(t, s, "s3://data/in/a.csv", []byte("changed"))
	if a.Version.ID == "" { // else the version is there still
		if err := s.Stage(ctx, "s3://data/staging/run-2/", sources[:1]); !errors.Is(err, ErrChanged) {
			t.Errorf("stage what has changed: %v; want %v", err, ErrChanged)
		}
	}
	write(t, s, "s3://data/staging/run-3/sub/x", []byte("x"))
	if err := s.Unstage(ctx, "s3://data/staging/run-3/"); err == nil || !strings.Contains(err.Error(), "not staged") {
		t.Errorf("unstage what was not staged: %v", err)
	}
	for range 2 {
		if err := s.Unstage(ctx, "s3://data/staging/run-1/"); err != nil {
			t.Error(err)
		}
	}
	if list, err := s.List(ctx, "s3://data/staging/run-1/"); len(list) > 0 || err != nil {
		t.Errorf("after unstage: %v, %v", list, err)
	}
}

// The environment's endpoint, and a context that has ended.
func TestS3Ends(t *testing.T) {
	environment(t, "http://127.0.0.1:1")
	s := reached(t, S3{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Open(ctx, "s3://b/k"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, _, err := s.Open(t.Context(), "s3://b/k"); err == nil || !strings.Contains(err.Error(), "S3 in us-east-1 cannot be reached (connection refused): check network and endpoint") {
		t.Errorf("with nobody there: %v", err)
	}
	if got := s.Condition(); !strings.HasPrefix(got, "b: S3 in us-east-1 cannot be reached") {
		t.Errorf("condition %q", got)
	}
}
