package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/triggers/nats"
)

// stream makes the source of one stream.
func stream(settings *configs.NATS, log *slog.Logger) (*nats.Source, error) {
	urls, err := settings.URL.Resolve()
	if err != nil {
		return nil, fmt.Errorf("nats: url: %w", err)
	}
	source, err := nats.New(settings.Source(urls), log)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	return source, nil
}

// addStream makes a source of a stream.
func (d *daemon) addStream(settings *configs.NATS) error {
	source, err := stream(settings, d.log)
	if err != nil {
		return err
	}
	name := "nats " + source.Stream()
	for n := 2; d.sources[name] != nil; n++ { // of another cluster, or by another consumer
		name = fmt.Sprintf("nats %s %d", source.Stream(), n)
	}
	d.sources[name] = source
	return nil
}

// stream looks at a stream's settings, and at the files that they name, without
// asking the server.
func (d *doctor) stream(settings *configs.NATS) {
	source, err := stream(settings, slog.New(slog.DiscardHandler))
	if err == nil && settings.TLS != nil {
		for _, file := range []configs.File{settings.TLS.CA, settings.TLS.Cert, settings.TLS.Key} {
			if file == "" {
				continue
			}
			if _, unread := os.ReadFile(string(file)); unread != nil {
				err = fmt.Errorf("nats: tls: %w", unread)
			}
		}
	}
	if err != nil {
		d.fail("source nats", "correct it in "+d.cfg.File+", or in the environment", "%v", err)
		return
	}
	d.ok("source nats "+source.Stream(), "at %s", source.Servers())
}

// askStreams asks the servers for the streams and consumers that the settings name.
// Settings that cannot be used are said already.
func (d *doctor) askStreams() {
	for _, s := range d.cfg.Settings.Sources {
		if s.NATS == nil {
			continue
		}
		source, err := stream(s.NATS, slog.New(slog.DiscardHandler))
		if err != nil {
			continue
		}
		check := "stream " + source.Stream()
		if detail, err := source.Ask(d.ctx); err != nil {
			d.fail(check, "the daemon goes on trying; see docs/nats.md", "%v", err)
		} else {
			d.ok(check, "%s", detail)
		}
	}
}
