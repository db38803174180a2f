package configs

import (
	"encoding/hex"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

// Auth says who may ask the daemon over HTTP. Where it has tokens, nothing but
// /livez, /readyz and the paths of webhooks is answered without one.
type Auth struct {
	Tokens []Token `json:"tokens"`
}

// A Token is one bearer token, known by its hash: `anneal token new` prints
// the token, once, and this entry.
type Token struct {
	Name   string `json:"name"`                     // who has it, for the log
	SHA256 string `json:"sha256"`                   // of the token's text, 64 hexadecimal digits
	Role   string `json:"role" enum:"viewer,admin"` // viewer, who reads, or admin, who steers too
}

// The roles of a token.
const (
	RoleViewer = "viewer"
	RoleAdmin  = "admin"
)

// TLS is the certificate that the daemon listens with, as PEM files.
type TLS struct {
	Cert File `json:"cert"` // with the intermediate ones after it
	Key  File `json:"key"`
}

func (a *Auth) check(d *decoder) {
	names, sums := map[string]bool{}, map[string]bool{}
	for i, t := range a.Tokens {
		path := index("auth.tokens", i)
		switch {
		case t.Name == "":
			d.add(path, -1, "a token needs a name, such as ops: `anneal token new ops` prints the whole entry")
		case names[t.Name]:
			d.add(path+".name", -1, "the name %q is taken: give each token its own", t.Name)
		}
		names[t.Name] = true
		sum, err := hex.DecodeString(t.SHA256)
		switch {
		case err != nil || len(sum) != 32:
			d.add(path+".sha256", -1, "a token is known by the 64 hexadecimal digits of its SHA-256: `anneal token new %s` prints them", t.Name)
		case sums[strings.ToLower(t.SHA256)]:
			d.add(path+".sha256", -1, "this is the hash of another token too: make one for each who asks")
		}
		sums[strings.ToLower(t.SHA256)] = true
		if !slices.Contains([]string{RoleViewer, RoleAdmin}, t.Role) {
			d.add(path+".role", -1, "unknown role %q (have viewer, admin)", t.Role)
		}
	}
}

func (t *TLS) check(d *decoder) {
	if t.Cert == "" || t.Key == "" {
		d.add("tls", -1, "tls needs both: {cert: ./tls.crt, key: ./tls.key}")
	}
}

func (s *Settings) checkListen(d *decoder) {
	port, loopback, ok := checkAddress(d, "listen", s.Listen, "127.0.0.1:8080")
	if ok && !loopback && len(s.Auth.Tokens) == 0 {
		d.add("listen", -1, "off loopback nothing starts without authentication: make a token with `anneal token new NAME` and enter it under auth: {tokens: […]}, or write 127.0.0.1:%s", port)
	}
}

// checkListen checks where the API of Step Functions is served.
func (e *Embedded) checkListen(d *decoder) {
	for _, id := range sortedKeys(e.Credentials) {
		if !accessKeyID.MatchString(id) {
			d.add(policy.At("embedded.credentials", id), -1, "%q is not an access key ID: 16 to 128 letters and digits, such as AKIAIOSFODNN7EXAMPLE", id)
		}
	}
	if e.Account != "" && !accountID.MatchString(e.Account) {
		d.add("embedded.account", -1, "%q is not an account: 12 digits", e.Account)
	}
	if e.Region != "" && !regionName.MatchString(e.Region) {
		d.add("embedded.region", -1, "%q is not a region, such as us-east-1", e.Region)
	}
	if e.Listen == "off" {
		return
	}
	port, loopback, ok := checkAddress(d, "embedded.listen", e.Listen, "127.0.0.1:8083, or off")
	if ok && !loopback && len(e.Credentials) == 0 {
		d.add("embedded.listen", -1, "off loopback nothing starts without authentication: enter the keys that requests are signed with under embedded: {credentials: {ACCESSKEYID: {env: NAME}}}, or write 127.0.0.1:%s", port)
	}
}

var (
	accessKeyID = regexp.MustCompile(`^\w{16,128}$`)
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
	regionName  = regexp.MustCompile(`^[a-z]+(-[a-z]+)+-[0-9]+$`)
)

// checkAddress checks an address to listen on, and says whether it is on
// loopback.
func checkAddress(d *decoder, path, listen, example string) (port string, loopback, ok bool) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		d.add(path, -1, "%q is not an address: write HOST:PORT, such as %s", listen, example)
		return "", false, false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		d.add(path, -1, "%q is not a port: a number up to 65535, 0 for any that is free", port)
		return "", false, false
	}
	address, err := netip.ParseAddr(host)
	return port, host == "localhost" || err == nil && address.IsLoopback(), true
}
