package httptask

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Egress is where calls may lead to. Wherever a host is named below, it is one as in
// a URL, with a port or for all of them, and may be a glob.
//
// What is not named may be a public address, and the loopback where the URL says so.
// A private address takes a host that is named, by more than *; one that is
// link-local, such as that of a machine's metadata, a host that is named literally.
// What counts is what a name resolves to when it is called.
type Egress struct {
	Hosts    []string // those that may be called; nil: all
	Insecure bool     // http:// may be called beyond the loopback
	CA       []byte   // certificates that are trusted, as PEM; nil: the system's
}

// CheckHost says what is wrong with a host as it is named in [Egress].
func CheckHost(pattern string) error {
	host, _ := hostPort(pattern)
	switch _, err := path.Match(host, ""); {
	case err != nil || host == "" || strings.ContainsAny(pattern, "/@ "):
		return fmt.Errorf("%q is not a host, as api.example.com, *.example.com or 10.0.0.7:8443", pattern)
	}
	return nil
}

type egress struct {
	Egress
	all     []string // hosts that any connection may lead to; nil: all
	proxies proxies
}

// A deniedError says why something may not be called.
type deniedError struct{ why string }

func (e *deniedError) Error() string { return e.why }

func denied(format string, args ...any) error { return &deniedError{fmt.Sprintf(format, args...)} }

// allows says why a URL may not be called, as far as its name tells.
func (e *egress) allows(u *url.URL) error {
	host, port := strings.ToLower(u.Hostname()), portOf(u)
	if u.Scheme != "https" && !e.Insecure && !loopbackName(host) {
		return denied("%s://%s: only https:// may be called here; http:// needs `insecure: true` in the connection's settings", u.Scheme, u.Host)
	}
	for _, hosts := range []struct {
		of   []string
		what string
	}{{e.Hosts, "the connection's hosts"}, {e.all, "embedded.hosts"}} {
		if hosts.of != nil && !slices.ContainsFunc(hosts.of, func(p string) bool { return matches(p, host, port) }) {
			return denied("%s may not be called here: %s are %s", u.Host, hosts.what, strings.Join(hosts.of, ", "))
		}
	}
	// What resolves a name may be a proxy, which is not asked.
	switch address, err := netip.ParseAddr(host); {
	case err == nil:
		return e.reaches(host, port, address)
	case strings.HasSuffix(strings.TrimSuffix("."+host, "."), ".localhost") && !loopbackName(host):
		return e.reaches(host, port, netip.IPv6Loopback())
	}
	return nil
}

// control is asked before a connection is made, about the very address.
func (e *egress) control(called string) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return denied("%s: %v", address, err)
		}
		host, port, err := net.SplitHostPort(called)
		if err != nil {
			return denied("%s: %v", called, err)
		}
		return e.reaches(strings.ToLower(host), port, to.Addr())
	}
}

// reaches says why a host may not be called at an address.
func (e *egress) reaches(host, port string, address netip.Addr) error {
	named, literally := false, false
	for _, p := range slices.Concat(e.Hosts, e.all) {
		if matches(p, host, port) {
			name, _ := hostPort(p)
			named = named || strings.Trim(name, "*") != ""
			literally = literally || strings.EqualFold(name, host)
		}
	}
	where := host
	if address.String() != host {
		where = fmt.Sprintf("%s, which is %s,", host, address)
	}
	a := address.WithZone("").Unmap()
	switch {
	case literally || public(a) || a.IsLoopback() && loopbackName(host):
		return nil
	case a.IsPrivate() && !ec2.Contains(a) || a.IsLoopback() || shared.Contains(a) && a != alibaba:
		if named {
			return nil
		}
		return denied("%s may not be called here: its address is private, so name it under hosts of the connection's settings, or under embedded.hosts", where)
	}
	return denied("%s may not be called here: its address is not one of an API (link-local, metadata, multicast), unless hosts name %s literally", where, host)
}

// loopbackName reports whether a host says that it is this machine.
func loopbackName(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// Addresses that are for no API on the Internet, besides those that netip knows of
// (IANA's special-purpose address registries).
var (
	shared  = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	alibaba = netip.MustParseAddr("100.100.100.200") // metadata, among the shared ones
	ec2     = netip.MustParsePrefix("fd00:ec2::/32") // metadata, among the private ones
	special = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
		netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
	}
)

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a) && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// matches reports whether a host that is named is this one.
func matches(pattern, host, port string) bool {
	name, only := hostPort(strings.ToLower(pattern))
	ok, err := path.Match(name, host)
	return err == nil && (ok || name == host) && (only == "" || only == port)
}

// hostPort takes a host and its port apart; the port may be empty.
func hostPort(text string) (host, port string) {
	if h, p, err := net.SplitHostPort(text); err == nil {
		return h, p
	}
	return strings.Trim(text, "[]"), ""
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
