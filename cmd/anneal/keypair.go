package main

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// pairEvery is how often the files of a certificate are looked at, at most.
const pairEvery = 10 * time.Second

// A keyPair is the certificate that the daemon listens with. Its files are read again
// while it is in use: a certificate is renewed where it lies, and the old one ends. Files
// that are not good leave the last pair in use, for they may be half way there.
type keyPair struct {
	cert, key string // paths
	log       *slog.Logger

	mu    sync.Mutex
	pair  *tls.Certificate // guarded by mu; the last that was good
	at    time.Time        // guarded by mu; when the files were read
	wrong string           // guarded by mu; with the files; empty: nothing
}

// openPair reads a pair for the first time. The error is of files that are not good.
func openPair(cert, key string, log *slog.Logger) (*keyPair, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &keyPair{cert: cert, key: key, log: log, pair: &pair, at: time.Now()}, nil
}

// newest is the pair for the next connection.
func (p *keyPair) newest(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < pairEvery {
		return p.pair, nil
	}
	p.at = time.Now()
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		if p.wrong != err.Error() {
			p.wrong = err.Error()
			p.log.Warn("certificate cannot be read, the last good one goes on", "cert", p.cert, "err", err)
		}
		return p.pair, nil
	}
	if !pair.Leaf.Equal(p.pair.Leaf) {
		p.log.Info("certificate renewed", "cert", p.cert, "until", pair.Leaf.NotAfter.UTC())
	}
	p.pair, p.wrong = &pair, ""
	return p.pair, nil
}
