package sfnapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Signatures checks that requests are signed with one of the keys: Signature
// Version 4, as the service wants it.
//
// A replay is refused by its time, as AWS refuses it, which within that time takes equal
// requests: clients whose signatures tell the second alone may ask the same twice in
// one. Those that sign an ID into each request never do, so that what has one is
// taken once.
type Signatures struct {
	Keys   map[string]string // secret access key by access key ID
	Region string

	mu           sync.Mutex
	seen, before map[[32]byte]bool // guarded by mu; signatures of requests with an ID
	since        time.Time         // guarded by mu; of seen
}

// skew is how far the clock of a signature may be from ours ("Why requests are signed" in
// IAM's user guide; the service says so when it refuses one).
const skew = 5 * time.Minute

// maxSeen is how many signatures are remembered at least.
const maxSeen = 1 << 17

// invocation is the header with the ID that SDKs give each request, and each try of it
// another amz-sdk-request.
const invocation = "amz-sdk-invocation-id"

const algorithm = "AWS4-HMAC-SHA256"

func denied(code, message string) error {
	return &apiError{status: http.StatusForbidden, code: code, message: message}
}

func (s *Signatures) check(r *http.Request, body []byte, now time.Time) error {
	header := r.Header.Get("Authorization")
	if header == "" {
		message := "Missing Authentication Token"
		if r.URL.Query().Has("X-Amz-Signature") {
			message += ": a signature in the URL is not taken here, only one in the Authorization header"
		}
		return denied("MissingAuthenticationTokenException", message)
	}
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	parts := map[string]string{}
	for p := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	signed := strings.Split(parts["SignedHeaders"], ";")
	if !ok || len(scope) != 5 || parts["Signature"] == "" {
		return denied("IncompleteSignatureException", "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.")
	}
	dated := "x-amz-date"
	stamp := r.Header.Get(dated)
	if stamp == "" {
		dated = "date"
		stamp = r.Header.Get(dated)
	}
	at, err := time.Parse("20060102T150405Z", stamp)
	switch {
	case stamp == "":
		return denied("IncompleteSignatureException", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	case err != nil:
		return denied("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'. Got '"+stamp+"'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	secret, ok := s.Keys[scope[0]]
	if !ok || r.Header.Get("X-Amz-Security-Token") != "" { // these keys have none
		return denied("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	if !slices.Contains(signed, "host") || !slices.Contains(signed, dated) || !slices.Contains(signed, "x-amz-target") {
		return denied("InvalidSignatureException", "'Host', '"+http.CanonicalHeaderKey(dated)+"' and 'X-Amz-Target' must be signed headers.")
	}
	if scope[1] != stamp[:8] || scope[2] != s.Region || scope[3] != "states" || scope[4] != "aws4_request" {
		return denied("InvalidSignatureException", "Credential should be scoped to "+stamp[:8]+"/"+s.Region+"/states/aws4_request.")
	}
	if !hmac.Equal([]byte(parts["Signature"]), []byte(sign(r, body, secret, stamp, scope[1:], signed))) {
		return denied("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if d := now.Sub(at); d > skew {
		return denied("InvalidSignatureException", "Signature expired: "+stamp+" is now earlier than "+now.Add(-skew).UTC().Format("20060102T150405Z")+" ("+now.UTC().Format("20060102T150405Z")+" - 5 min.)")
	} else if d < -skew {
		return denied("InvalidSignatureException", "Signature not yet current: "+stamp+" is still later than "+now.Add(skew).UTC().Format("20060102T150405Z")+" ("+now.UTC().Format("20060102T150405Z")+" + 5 min.)")
	}
	if slices.Contains(signed, invocation) && slices.Contains(signed, "amz-sdk-request") {
		return s.once(parts["Signature"], now)
	}
	return nil
}

// once takes a signature the first time only, as long as it is remembered.
func (s *Signatures) once(signature string, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(signature))
	if s.seen[key] || s.before[key] {
		return denied("InvalidSignatureException", "The signature was used before: sign each request anew.")
	}
	if s.seen == nil || len(s.seen) == maxSeen || now.Sub(s.since) > 2*skew { // those before are too old to be good
		s.seen, s.before, s.since = map[[32]byte]bool{}, s.seen, now
	}
	s.seen[key] = true
	return nil
}

// sign is the signature of a request (Signature Version 4, "Create a signed
// AWS API request").
func sign(r *http.Request, body []byte, secret, stamp string, scope, signed []string) string {
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	var canonical strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range signed {
		values := r.Header.Values(name)
		if name == "host" {
			values = []string{r.Host}
		}
		if name == "content-length" && len(values) == 0 {
			values = []string{r.Header.Get("Content-Length")}
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.Join(strings.Fields(v), " ")
		}
		canonical.WriteString(name + ":" + strings.Join(trimmed, ",") + "\n")
	}
	canonical.WriteString("\n" + strings.Join(signed, ";") + "\n" + sum(body))
	text := algorithm + "\n" + stamp + "\n" + strings.Join(scope, "/") + "\n" + sum([]byte(canonical.String()))
	key := []byte("AWS4" + secret)
	for _, part := range append(slices.Clone(scope), text) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func canonicalQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }
