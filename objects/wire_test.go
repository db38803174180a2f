package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers every request, as S3 and as a web server.
func serve(t *testing.T, answer http.HandlerFunc) (url string) {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	environment(t, server.URL)
	return server.URL
}

// told answers with an error of S3.
func told(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>R</RequestId></Error>`, code, message)
}

// What S3 refuses is one line with its remedy. The answers are those of the
// error responses of its API reference.
func TestS3Refuses(t *testing.T) {
	for _, c := range []struct {
		status        int
		code, message string
		want          string
		is            error
	}{
		{404, "NoSuchKey", "The specified key does not exist.", "open s3://b/a/k.csv: no such object", ErrNotFound},
		{404, "NoSuchBucket", "The specified bucket does not exist", "open s3://b/a/k.csv: no such object: there is no bucket b: make it, or correct its name", ErrNotFound},
		{403, "AccessDenied", "Access Denied", "open s3://b/a/k.csv: AccessDenied: grant the role s3:GetObject on arn:aws:s3:::b/a/k.csv", nil},
		{403, "AccessDenied", "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:1:key/k because no identity-based policy allows the kms:Decrypt action",
			"open s3://b/a/k.csv: AccessDenied: grant the role kms:Decrypt on arn:aws:kms:eu-central-1:1:key/k", nil},
		{400, "KMS.DisabledException", "arn:aws:kms:eu-central-1:1:key/k is disabled.", "open s3://b/a/k.csv: KMS.DisabledException: the key that encrypts it is disabled: enable it", nil},
		{403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", "open s3://b/a/k.csv: InvalidAccessKeyId: the credentials are not known to AWS: correct them", nil},
		{400, "ExpiredToken", "The provided token has expired.", "open s3://b/a/k.csv: ExpiredToken: the credentials have expired: renew them; they are read again at each try", nil},
		{403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", "open s3://b/a/k.csv: RequestTimeTooSkewed: the signature is not accepted: set the clock, or correct the secret key", nil},
		{403, "InvalidObjectState", "The operation is not valid for the object's storage class", "open s3://b/a/k.csv: InvalidObjectState: the object is archived: restore it first", nil},
		{412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", "open s3://b/a/k.csv: object has changed", ErrChanged},
		{301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.", "open s3://b/a/k.csv: PermanentRedirect: the bucket b is in another region than us-east-1: set s3: {region: …} to its own", nil},
		{503, "SlowDown", "Please reduce your request rate.", "open s3://b/a/k.csv: SlowDown: AWS asks for fewer requests: they are made fewer", nil},
	} {
		t.Run(c.code, func(t *testing.T) {
			serve(t, func(w http.ResponseWriter, r *http.Request) { told(w, c.status, c.code, c.message) })
			s := reached(t, S3{})
			_, _, err := s.Open(t.Context(), "s3://b/a/k.csv")
			if err == nil || err.Error() != c.want || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("\n got %v\nwant %s", err, c.want)
			}
			if wrong := s.Condition(); (wrong == "") != (c.is != nil && c.code != "NoSuchBucket") || strings.Contains(wrong, "\n") {
				t.Errorf("condition %q", wrong)
			}
		})
	}
}

// A bucket that is elsewhere is followed, once it is told where that is, and what
// is asked of it later goes there at once.
func TestS3Region(t *testing.T) {
	for name, redirect := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			told(w, 301, "PermanentRedirect", "…")
		},
		"signature": func(w http.ResponseWriter, r *http.Request) {
			told(w, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/s3/") {
					redirect(w, r)
					return
				}
				w.Header().Set("ETag", `"e"`)
				io.WriteString(w, "data")
			})
			s := reached(t, S3{})
			for range 2 {
				if got := readAll(t, s, "s3://b/k", Version{}); string(got) != "data" {
					t.Errorf("got %q", got)
				}
			}
			if n := asked.Load(); n != 3 || s.Condition() != "" {
				t.Errorf("%d requests, condition %q; want 3 and none", n, s.Condition())
			}
		})
	}
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
		told(w, 301, "PermanentRedirect", "…")
	})
	_, _, err := reached(t, S3{}).Open(t.Context(), "s3://b/k")
	if err == nil || !strings.Contains(err.Error(), "the bucket b is in eu-west-1") {
		t.Errorf("a region that redirects to itself: %v", err)
	}
}

// A broken object gives its data in pieces: the connection breaks after a number
// of bytes, or falls silent.
type broken struct {
	data   []byte
	piece  int
	silent bool
	etag   atomic.Pointer[string]
	breaks atomic.Int64
	done   chan struct{}

	mu     sync.Mutex
	ranges []string // guarded by mu
}

func (b *broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.ranges = append(b.ranges, r.Header.Get("Range"))
	b.mu.Unlock()
	etag := *b.etag.Load()
	if m := r.Header.Get("If-Match"); m != "" && m != etag {
		told(w, http.StatusPreconditionFailed, "PreconditionFailed", "…")
		return
	}
	from, to := 0, len(b.data)
	w.Header().Set("ETag", etag)
	w.Header().Set("Accept-Ranges", "bytes")
	if m := r.Header.Get("If-Range"); r.Header.Get("Range") != "" && (m == "" || m == etag) {
		first, last, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
		from, _ = strconv.Atoi(first)
		if last != "" {
			to, _ = strconv.Atoi(last)
			to++
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(b.data)))
		w.Header().Set("Content-Length", strconv.Itoa(to-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(to))
	}
	if to-from <= b.piece {
		w.Write(b.data[from:to])
		return
	}
	b.breaks.Add(1)
	w.Write(b.data[from : from+b.piece])
	w.(http.Flusher).Flush()
	if b.silent {
		select {
		case <-r.Context().Done():
		case <-b.done:
		}
	}
	panic(http.ErrAbortHandler)
}

func breaking(t *testing.T, data []byte, piece int, silent bool) (*broken, string) {
	b := &broken{data: data, piece: piece, silent: silent, done: make(chan struct{})}
	etag := `"v1"`
	b.etag.Store(&etag)
	url := serve(t, b.ServeHTTP)
	t.Cleanup(func() { close(b.done) })
	return b, url
}

// Reading goes on where a connection broke or fell silent, in S3 and on the web,
// and in any order.
func TestResume(t *testing.T) {
	data := random(3 << 20)
	for _, c := range []struct {
		name     string
		piece    int
		silent   bool
		patience time.Duration
	}{{"breaks", 700_001, false, time.Minute}, {"silent", 2_000_003, true, time.Second}} {
		b, url := breaking(t, data, c.piece, c.silent)
		s := reached(t, S3{Patience: c.patience})
		for _, uri := range []string{"s3://b/k", url + "/b/k"} {
			if c.silent && uri != "s3://b/k" {
				continue // it waits as long as the web does
			}
			before := b.breaks.Load()
			got := readAll(t, s, uri, Version{})
			if !bytes.Equal(got, data) || b.breaks.Load() == before {
				t.Errorf("%s, %s: %d bytes after %d breaks; want all %d", c.name, uri, len(got), b.breaks.Load()-before, len(data))
			}
			r, _, err := s.Open(t.Context(), uri)
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 2<<20)
			if n, err := r.(io.ReaderAt).ReadAt(p, 1234); err != nil || !bytes.Equal(p[:n], data[1234:1234+n]) {
				t.Errorf("%s, %s: ReadAt %d, %v", c.name, uri, n, err)
			}
			r.Close()
		}
	}
}

// What has changed in the middle is told, not mixed.
func TestChangesMeanwhile(t *testing.T) {
	data := random(1 << 20)
	b, url := breaking(t, data, 300_000, false)
	s := reached(t, S3{})
	for _, uri := range []string{"s3://b/k", url + "/b/k"} {
		v1, v2 := `"v1"`, `"v2"`
		b.etag.Store(&v1)
		r, _, err := s.Open(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		b.etag.Store(&v2)
		got, err := io.ReadAll(r)
		if !errors.Is(err, ErrChanged) || !bytes.Equal(got, data[:len(got)]) || len(got) == 0 {
			t.Errorf("%s: %d bytes, then %v; want %v", uri, len(got), err, ErrChanged)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A peer that gives nothing more, again and again, is given up by name.
func TestGivenUp(t *testing.T) {
	var n atomic.Int64
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("ETag", `"e"`)
		if n.Add(1) == 1 {
			io.WriteString(w, "0123456789")
		} else {
			w.WriteHeader(http.StatusPartialContent)
		}
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	r, _, err := reached(t, S3{}).Open(t.Context(), "s3://b/k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if string(got) != "0123456789" || err == nil || !strings.Contains(err.Error(), "read s3://b/k: the connection broke at byte 10") {
		t.Errorf("got %q, %v", got, err)
	}
}

// SlowDown is waited for.
func TestSlowDown(t *testing.T) {
	var n atomic.Int64
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) < 3 {
			told(w, 503, "SlowDown", "Please reduce your request rate.")
			return
		}
		w.Header().Set("ETag", `"e"`)
		io.WriteString(w, "data")
	})
	if got := readAll(t, reached(t, S3{}), "s3://b/k", Version{}); string(got) != "data" {
		t.Errorf("got %q", got)
	}
}

// What is written is encrypted as the settings say, whole or in parts.
func TestKMSKey(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprint(r.Method, " ", r.URL.Query().Has("uploads"), " ", r.Header.Get("X-Amz-Server-Side-Encryption"), " ", r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")))
		switch {
		case r.URL.Query().Has("uploads"):
			io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPost:
			io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
		}
		w.Header().Set("ETag", `"e"`)
	})
	s := reached(t, S3{KMSKey: "alias/ml"})
	write(t, s, "s3://b/small", []byte("x"))
	write(t, s, "s3://b/large", random(partSize+1))
	want := "PUT false aws:kms alias/ml\nPOST true aws:kms alias/ml\nPUT false  \nPUT false  \nPOST false  "
	if got := strings.Join(calls, "\n"); got != want {
		t.Errorf("calls\n%s\nwant\n%s", got, want)
	}
}

// Web servers differ in what they can.
func TestWeb(t *testing.T) {
	var fails atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain.csv":
			w.(http.Flusher).Flush() // no length
			io.WriteString(w, "a\n1\n")
		case "/later.csv":
			if fails.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			http.ServeContent(w, r, "x", time.Unix(1e9, 0), strings.NewReader("a\n1\n"))
		case "/moved.csv":
			http.Redirect(w, r, "/later.csv", http.StatusFound)
		case "/closed.csv":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	})
	s := reached(t, S3{})
	for _, name := range []string{"/plain.csv", "/later.csv?sig=secret", "/moved.csv"} {
		if got := readAll(t, s, url+name, Version{}); string(got) != "a\n1\n" {
			t.Errorf("%s: got %q", name, got)
		}
		infos, err := s.Glob(t.Context(), url+name)
		if err != nil || len(infos) != 1 || infos[0].URI != url+name {
			t.Errorf("%s: glob %v, %v", name, infos, err)
		}
	}
	for name, want := range map[string]string{
		"/none.csv?sig=secret": "/none.csv: no such object",
		"/closed.csv":          "/closed.csv: the server says 403 Forbidden: give a URL that may be read, such as one that is signed",
	} {
		_, _, err := s.Open(t.Context(), url+name)
		if err == nil || err.Error() != "open "+url+want {
			t.Errorf("%s:\n got %v\nwant open %s", name, err, url+want)
		}
	}
	if _, err := s.Create(t.Context(), url+"/x"); !errors.Is(err, ErrBadURI) {
		t.Errorf("create on the web: %v", err)
	}
	if _, _, err := s.OpenVersion(t.Context(), url+"/later.csv", Version{ETag: "other"}); !errors.Is(err, ErrChanged) {
		t.Errorf("another ETag: %v", err)
	}
	if got := Name(url + "/later.csv?sig=secret"); got != url+"/later.csv" {
		t.Errorf("name %s", got)
	}
}

// The parts that S3 takes hold what the largest models have.
func TestSizeOfPart(t *testing.T) {
	const parts, most = 10_000, 5 << 30 // S3's limits: "Amazon S3 multipart upload limits"
	total := int64(0)
	for n := range parts {
		size := sizeOfPart(n)
		if size < partSize || size > most {
			t.Fatalf("part %d has %d bytes", n+1, size)
		}
		total += int64(size)
	}
	if total < 400<<30 {
		t.Errorf("%d parts hold %d GiB", parts, total>>30)
	}
}
