package main

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// This file checks how what is said to the daemon is kept from others.

// renewWithin is how long before its end a certificate should be renewed.
const renewWithin = 7 * 24 * time.Hour

// certificate looks at the daemon's certificate, or at what goes without one.
func (d *doctor) certificate() {
	s := d.cfg.Settings
	if s.TLS == nil {
		if !loopback(s.Listen) {
			d.warn("tls", "give it a certificate (tls: {cert: ./tls.crt, key: ./tls.key}), unless a proxy before it ends TLS", "tokens, and what they open, go in the clear to %s", s.Listen)
		}
		return
	}
	const renew = "renew it where it lies: the daemon takes it up by itself"
	pair, err := tls.LoadX509KeyPair(string(s.TLS.Cert), string(s.TLS.Key))
	if err != nil {
		d.fail("tls", "name a certificate and its key, as PEM files, under tls in "+d.cfg.File, "%v", err)
		return
	}
	from, until := pair.Leaf.NotBefore.UTC(), pair.Leaf.NotAfter.UTC()
	switch now := time.Now(); {
	case now.Before(from):
		d.fail("tls", "look at the clock, or "+renew, "%s holds only from %s on", s.TLS.Cert, from.Format(time.RFC3339))
	case now.After(until):
		d.fail("tls", renew, "%s has ended: it held until %s", s.TLS.Cert, until.Format(time.RFC3339))
	case until.Sub(now) < renewWithin:
		d.warn("tls", renew, "%s ends soon: it holds until %s", s.TLS.Cert, until.Format(time.RFC3339))
	default:
		d.ok("tls", "%s holds until %s", s.TLS.Cert, until.Format(time.RFC3339))
	}
}

// loopback reports whether an address, which was checked, is of this machine alone.
func loopback(listen string) bool {
	host, _, _ := net.SplitHostPort(listen)
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
