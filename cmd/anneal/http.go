package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/triggers/envelope"
	"github.com/anneal-ml/anneal/triggers/webhook"
	"github.com/anneal-ml/anneal/web"
)

// HTTP limits: a slow or endless peer costs one connection for a while.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = 5 * time.Minute
	idleTimeout  = 2 * time.Minute
	maxHeader    = 64 << 10
)

// addHook makes the source of one webhook.
func (d *daemon) addHook(settings *configs.Webhook) error {
	signature, secrets := webhook.Hub, settings.HMAC
	if settings.Secret != nil {
		signature, secrets = webhook.Standard, settings.Secret
	}
	values, err := secrets.Resolve()
	if err != nil {
		return fmt.Errorf("webhook %s: secret: %w", settings.Path, err)
	}
	source, err := webhook.New(webhook.Config{Path: settings.Path, Signature: signature, Secrets: values}, d.log)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", settings.Path, err)
	}
	d.sources["webhook "+settings.Path] = source
	d.hooks[settings.Path] = source
	return nil
}

// listen takes a port, with the certificate where there is one; key is the setting
// of the address.
func (d *daemon) listen(key, address string) (net.Listener, error) {
	cfg := d.cfg
	var pair *keyPair
	if t := cfg.Settings.TLS; t != nil {
		var err error
		if pair, err = openPair(string(t.Cert), string(t.Key), d.log); err != nil {
			return nil, usage(fmt.Errorf("certificate of tls in %s: %w", cfg.File, err))
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, broken(fmt.Errorf("listen on %s: %w (set %s in %s)", address, err, key, cfg.File))
	}
	if pair != nil {
		l = tls.NewListener(l, &tls.Config{GetCertificate: pair.newest, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	return l, nil
}

// address is where the daemon is reached from this machine.
func (d *daemon) address() string { return addressOf(d.cfg, d.listener) }

// addressOf is where a listener is reached from this machine.
func addressOf(cfg *configs.Config, listener net.Listener) string {
	scheme := "http://"
	if cfg.Settings.TLS != nil {
		scheme = "https://"
	}
	at := listener.Addr().(*net.TCPAddr)
	if at.IP.IsUnspecified() {
		return fmt.Sprintf("%s127.0.0.1:%d", scheme, at.Port)
	}
	return scheme + at.String()
}

// leaveAddress leaves an address in a file of the data folder.
func (d *daemon) leaveAddress(name, address string) {
	if err := os.WriteFile(filepath.Join(string(d.cfg.Settings.Data), name), []byte(address+"\n"), 0o666); err != nil {
		d.log.Warn("address not written", "err", err)
	}
}

// serveHTTP answers requests until ctx ends, and then those that are open.
func (d *daemon) serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	requests, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		drop()
		server.Close()
	}
	<-ended
	return nil
}

func (d *daemon) handler() http.Handler {
	return web.New(web.Config{
		Journal: d.journal,
		Log:     d.log,
		Tokens:  tokens(d.cfg.Settings.Auth),
		Hooks:   d.hooks,
		Ready:   d.condition,
		Ingest:  d.ingest,
		Replay:  d.replay,
		Trigger: d.trigger,
		Pause:   steered(d.controller.Pause),
		Resume:  steered(d.controller.Resume),
		Approve: steered(d.controller.Approve),
		Reject:  steered(d.controller.Reject),
		Explain: func(ctx context.Context, decision anneal.Decision) (string, error) {
			return controller.Explain(ctx, d.journal, decision)
		},
		Verify: func(ctx context.Context) (web.Verification, error) {
			v, err := controller.Verify(ctx, d.journal)
			return verification(v), err
		},
		History: func(ctx context.Context, run anneal.Run) ([]asl.HistoryEvent, error) {
			history, err := d.controller.History(ctx, run)
			return history, unavailable(historyError(err, run))
		},
		Policies: d.policies,
		Stop: func(ctx context.Context, run, cause string) error {
			return unavailable(d.controller.StopRun(ctx, run, cause))
		},
		Metrics: d.metrics(),
		Executions: web.Executions{
			Redrive: d.redrive,
			Logs:    executionLogs{d.engine, d.jobs()}.logs,
			OpenLog: executionLogs{d.engine, d.jobs()}.open,
			Tell:    d.tell,
		},
	})
}

// unavailable says that an executor cannot be asked at present, or has nothing to
// tell.
func unavailable(err error) error {
	switch {
	case errors.Is(err, orchestrator.ErrUnavailable):
		return web.Refuse(http.StatusServiceUnavailable, "%v", err)
	case errors.Is(err, orchestrator.ErrNoHistory):
		return web.Refuse(http.StatusNotFound, "%v", err)
	}
	return err
}

// tokens are those of the settings, which were checked.
func tokens(auth configs.Auth) []web.Token {
	var all []web.Token
	for _, t := range auth.Tokens {
		token := web.Token{Name: t.Name, Admin: t.Role == configs.RoleAdmin}
		hex.Decode(token.SHA256[:], []byte(t.SHA256))
		all = append(all, token)
	}
	return all
}

// policies are how the loaded ones stand.
func (d *daemon) policies() []web.Policy {
	all := []web.Policy{}
	for _, p := range d.controller.Status().Policies {
		all = append(all, web.Policy{
			Name: p.Name, Mode: p.Mode, Paused: p.Paused, Model: p.Model, Revision: p.Revision, Champion: p.Champion, Metrics: p.Metrics,
			Objects: p.Objects, Waiting: p.Waiting, Rows: p.Rows, OpenRuns: p.OpenRuns, NextWake: p.NextWake, Gathered: p.Gathered, Asks: p.Asks,
		})
	}
	return all
}

func verification(v controller.Verification) web.Verification {
	out := web.Verification{Decisions: v.Decisions, Agreed: v.Agreed, Skipped: v.Skipped, LastRecord: v.LastRecord, Divergent: []web.Divergence{}}
	for _, d := range v.Divergent {
		out.Divergent = append(out.Divergent, web.Divergence(d))
	}
	return out
}

// condition is what /readyz says.
func (d *daemon) condition() (bool, map[string]string) {
	parts := map[string]string{"journal": "ok", "policies": d.generation.String()}
	ok := d.ready.Load()
	if err := d.journal.Err(); err != nil {
		ok, parts["journal"] = false, err.Error()
	}
	if d.controller.Full() {
		ok, parts["journal"] = false, "full: waiting for space"
	}
	for _, p := range d.parts() {
		name := p.kind + " " + p.name
		if p.kind == partAWS {
			name = p.name
		}
		parts[name] = "ok"
		if p.wrong != "" { // it goes on trying
			parts[name] = "degraded: " + p.wrong
		}
	}
	if d.api != nil {
		parts["step functions"] = addressOf(d.cfg, d.api.listener)
	}
	return ok, parts
}

// ingest takes events that came over HTTP. Those that only anneal itself can
// know of are refused.
func (d *daemon) ingest(ctx context.Context, body []byte) ([]web.Ingested, error) {
	events, err := envelope.Decode(body, time.Now().UTC())
	if err != nil {
		return nil, web.Refuse(http.StatusBadRequest, "%v", err)
	}
	for _, e := range events {
		if strings.HasPrefix(e.Source, "anneal.") {
			return nil, web.Refuse(http.StatusBadRequest, "source %q is anneal's own: an event from outside needs another", e.Source)
		}
	}
	taken := []web.Ingested{}
	for _, e := range events {
		stored, duplicate, err := d.controller.Ingest(ctx, e)
		if err != nil {
			return nil, err
		}
		taken = append(taken, web.Ingested{ID: stored.ID, Duplicate: duplicate})
	}
	return taken, nil
}

func (d *daemon) replay(ctx context.Context, event string) ([]web.Ingested, error) {
	replayed, err := d.controller.Replay(ctx, event)
	if err != nil {
		return nil, refused(err)
	}
	taken := []web.Ingested{}
	for _, r := range replayed {
		taken = append(taken, web.Ingested(r))
	}
	return taken, nil
}

func (d *daemon) trigger(ctx context.Context, name string, parameters map[string]any, force bool) (anneal.Decision, error) {
	decision, err := d.controller.Trigger(ctx, name, parameters, force)
	return decision, refused(err)
}

// steered is what a person asks of the controller, with its refusals.
func steered(do func(ctx context.Context, of, note string) (anneal.Decision, error)) func(context.Context, string, string) (anneal.Decision, error) {
	return func(ctx context.Context, of, note string) (anneal.Decision, error) {
		decision, err := do(ctx, of, note)
		return decision, refused(err)
	}
}

// refused gives what the controller refuses its HTTP status.
func refused(err error) error {
	var unknown *controller.UnknownPolicyError
	var parameters *controller.ParametersError
	var unreadable *controller.UnreadableError
	var notAsked *controller.NotAskedError
	switch {
	case errors.As(err, &notAsked):
		return web.Refuse(http.StatusConflict, "%v", err)
	case errors.As(err, &unknown):
		return web.Refuse(http.StatusNotFound, "%v", err)
	case errors.As(err, &parameters):
		return web.Refuse(http.StatusBadRequest, "%v", err)
	case errors.As(err, &unreadable):
		return web.Refuse(http.StatusConflict, "%v", err)
	}
	return err
}
