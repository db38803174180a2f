package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// patience is how long a web server may take to answer, and for each further
// part of its answer.
const patience = 30 * time.Second

// A web reads objects by HTTP.
type web struct{ client *http.Client }

func newWeb() *web {
	return &web{&http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: patience,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   4,
		DisableCompression:    true, // ranges are of the bytes as they are
	}}}
}

// open opens an object. It can go on after a break, and be read in any order,
// where the server gives ranges and tells versions apart.
func (w *web) open(ctx context.Context, uri string, u *url.URL, v Version) (io.ReadCloser, Info, error) {
	var answer *http.Response
	var err error
	for tries := 0; ; tries++ {
		answer, err = w.get(ctx, "open", u, http.Header{})
		var failed *failure
		if err == nil || errors.As(err, &failed) && failed.final || tries == 2 || ctx.Err() != nil {
			break
		}
		if err := wait(ctx, tries+2); err != nil {
			return nil, Info{}, err
		}
	}
	if err != nil {
		return nil, Info{}, err
	}
	info := Info{URI: uri, Bytes: answer.ContentLength, Version: Version{ETag: strings.Trim(answer.Header.Get("ETag"), `"`)}}
	if t, err := http.ParseTime(answer.Header.Get("Last-Modified")); err == nil {
		info.ModTime = t
	}
	if v.ETag != "" && v.ETag != info.Version.ETag {
		answer.Body.Close()
		return nil, Info{}, fmt.Errorf("open %s: %w: its ETag is %q, not %q", shown(uri), ErrChanged, info.Version.ETag, v.ETag)
	}
	// A weak ETag is not one of bytes: what it names may differ in them.
	same := answer.Header.Get("ETag")
	if same == "" || strings.HasPrefix(same, "W/") {
		same = answer.Header.Get("Last-Modified")
	}
	if same == "" || info.Bytes < 0 || answer.Header.Get("Accept-Ranges") != "bytes" {
		return &stream{ctx: ctx, uri: uri, end: info.Bytes, body: answer.Body, patience: patience}, info, nil
	}
	return newRemote(ctx, uri, info.Bytes, answer.Body, func(ctx context.Context, from, to int64) (io.ReadCloser, error) {
		answer, err := w.get(ctx, "read", u, http.Header{"Range": {span(from, to)}, "If-Range": {same}})
		if err != nil {
			return nil, err
		}
		if answer.StatusCode == http.StatusPartialContent && begins(answer, from) {
			return answer.Body, nil
		}
		answer.Body.Close()
		return nil, &failure{text: fmt.Sprintf("read %s: %v", shown(uri), ErrChanged), kind: ErrChanged, final: true}
	}, patience), info, nil
}

// begins says whether a partial answer begins at an offset.
func begins(answer *http.Response, at int64) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(answer.Header.Get("Content-Range"), "bytes "), "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return err == nil && n == at
}

// get asks for an object, and says in one line why it is not given.
func (w *web) get(ctx context.Context, doing string, u *url.URL, header http.Header) (*http.Response, error) {
	name := shown(u.String())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", doing, name, err)
	}
	request.Header = header
	request.Header.Set("User-Agent", "anneal")
	answer, err := w.client.Do(request)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // that the URI is not told twice, with its query
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", doing, name, context.Cause(ctx))
		}
		return nil, &failure{kind: ErrUnavailable, text: fmt.Sprintf("%s %s: %v", doing, name, err)}
	}
	if answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusPartialContent {
		return answer, nil
	}
	answer.Body.Close()
	f := &failure{kind: ErrUnavailable, text: fmt.Sprintf("%s %s: the server says %s", doing, name, answer.Status)}
	f.final = answer.StatusCode < 500 && answer.StatusCode != http.StatusRequestTimeout && answer.StatusCode != http.StatusTooManyRequests
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		f.kind = ErrNotFound
		f.text = fmt.Sprintf("%s %s: %v", doing, name, ErrNotFound)
	case http.StatusUnauthorized, http.StatusForbidden:
		f.text += ": give a URL that may be read, such as one that is signed"
	case http.StatusRequestedRangeNotSatisfiable:
		f.kind = ErrChanged
		f.text = fmt.Sprintf("%s %s: %v: it is shorter", doing, name, ErrChanged)
	}
	return nil, f
}

// shown is a URI without what may be secret in it: a password, and the query,
// which signs.
func shown(uri string) string {
	if !onWeb(uri) {
		return uri
	}
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	u.RawQuery = ""
	return u.Redacted()
}

func onWeb(uri string) bool {
	return strings.HasPrefix(uri, "http://") || strings.HasPrefix(uri, "https://")
}

// Name is what an object is called, by whose extension its format is known. It is
// the URI, without the query of one on the web.
func Name(uri string) string { return shown(uri) }

// base is the last part of the path.
func (p *place) base() string {
	if p.url != nil {
		return path.Base(p.url.Path)
	}
	return path.Base(p.key)
}
