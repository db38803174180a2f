package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/web"
)

// defaultServer is where a daemon is looked for.
const defaultServer = "http://127.0.0.1:8080"

// A client asks a daemon, or, for what needs none, a journal folder.
type client struct {
	base  string
	token string // sent where it is not empty
	hint  string // what helps where nobody answers
	do    func(*http.Request) (*http.Response, error)
}

// reach is the flags that say where to ask.
type reach struct {
	server string
	data   string
	hint   string // what helps where no daemon answers
}

func (r *reach) flags(c *cobra.Command) {
	r.daemonFlags(c)
	r.hint = "start `anneal serve`, set ANNEAL_SERVER, or read a data folder with --data"
	c.Flags().StringVar(&r.data, "data", "", "read the journal in this data folder instead of asking a daemon")
}

// daemonFlags are those of a command that only a daemon can answer.
func (r *reach) daemonFlags(c *cobra.Command) {
	r.hint = "start `anneal serve`, or set ANNEAL_SERVER"
	c.Flags().StringVar(&r.server, "server", "", "address of the daemon (default $ANNEAL_SERVER, then "+defaultServer+")")
}

// client opens what the flags name. The caller must call close.
func (r *reach) client(ctx context.Context) (c *client, close func(), err error) {
	if r.data == "" {
		server := cmp.Or(r.server, os.Getenv("ANNEAL_SERVER"), defaultServer)
		if !strings.Contains(server, "://") {
			server = "http://" + server
		}
		return &client{base: strings.TrimSuffix(server, "/"), token: os.Getenv("ANNEAL_TOKEN"), hint: r.hint, do: http.DefaultClient.Do}, func() {}, nil
	}
	j, err := openJournal(ctx, r.data, journal.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	e, err := readEngine(ctx, j)
	if err != nil {
		j.Close()
		return nil, nil, broken(err)
	}
	logs := executionLogs{e, filepath.Join(r.data, jobsFolder)}
	handler := web.New(web.Config{
		Journal: j,
		Log:     slog.New(slog.DiscardHandler),
		Explain: func(ctx context.Context, d anneal.Decision) (string, error) { return controller.Explain(ctx, j, d) },
		Verify: func(ctx context.Context) (web.Verification, error) {
			v, err := controller.Verify(ctx, j)
			return verification(v), err
		},
		History:    journalHistory(j),
		Executions: web.Executions{Logs: logs.logs, OpenLog: logs.open},
	})
	return &client{base: "http://localhost", do: inProcess(handler)}, func() { j.Close() }, nil
}

// ask sends one request and decodes the answer into out: see [client.call].
func (r *reach) ask(ctx context.Context, method, path string, body, out any) error {
	client, close, err := r.client(ctx)
	if err != nil {
		return err
	}
	defer close()
	_, err = client.call(ctx, method, path, body, out)
	return err
}

// show asks for a T and prints it: as JSON the way it came, or by text.
func show[T any](cmd *cobra.Command, from *reach, out output, method, path string, body any, text func(io.Writer, T) error) (T, error) {
	var got T
	asJSON, err := out.json()
	if err != nil {
		return got, err
	}
	var raw json.RawMessage
	if err := from.ask(cmd.Context(), method, path, body, &raw); err != nil {
		return got, err
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		return got, broken(err)
	}
	if asJSON {
		return got, writeJSON(cmd.OutOrStdout(), raw)
	}
	return got, text(cmd.OutOrStdout(), got)
}

// inProcess asks a handler without a network.
func inProcess(h http.Handler) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		if req.Body == nil {
			req.Body = http.NoBody
		}
		w := &answer{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(w, req)
		return &http.Response{StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body)}, nil
	}
}

// answer is a response that is kept in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// Places in the data folder.
const (
	journalFolder = "journal"
	jobsFolder    = "jobs"
)

// call sends body, where there is one, and decodes the answer into out: a
// *string takes text. It returns the answer's header.
func (c *client) call(ctx context.Context, method, path string, body, out any) (http.Header, error) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, usage(fmt.Errorf("%s is not an address: %w", c.base, err))
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.do(req)
	if err != nil && ctx.Err() != nil {
		return nil, broken(fmt.Errorf("%s had not answered yet, and may still do what it was asked", c.base))
	}
	if err != nil {
		return nil, c.unanswered(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, broken(fmt.Errorf("read the answer of %s: %w", c.base, err))
	}
	if resp.StatusCode >= 300 {
		return nil, refusal(c.base, resp.StatusCode, data)
	}
	if text, ok := out.(*string); ok {
		*text = string(data)
		return resp.Header, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, broken(fmt.Errorf("%s did not answer as an anneal daemon does: %w", c.base, err))
	}
	return resp.Header, nil
}

// unanswered is the error of a request that had no answer.
func (c *client) unanswered(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which is told already
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return broken(fmt.Errorf("%s: %w (name the file of its certificate, or of who signed it, in SSL_CERT_FILE)", c.base, err))
	}
	return broken(fmt.Errorf("no daemon answers at %s: %w (%s)", c.base, err, c.hint))
}

// refusal turns an error answer of a server into an error with its exit status.
func refusal(base string, status int, body []byte) error {
	var e web.Error
	if json.Unmarshal(body, &e) != nil || e.Detail == "" {
		return broken(fmt.Errorf("%s did not answer as an anneal daemon does: status %d", base, status))
	}
	err := errors.New(printable(e.Detail))
	if status >= 500 {
		return broken(err)
	}
	return usage(err)
}
