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
// Version 4, as the service wants it. A request is taken once.
type Signatures struct {
	Keys   map[string]string // secret access key by access key ID
	Region string

	mu   sync.Mutex
	seen map[string]time.Time // guarded by mu; signatures, and until when they would be good
}

// skew is how far the clock of a signature may be from ours.
const skew = 15 * time.Minute

// maxSeen is how many signatures are remembered. Beyond it nothing is taken
// until some are too old to be good.
const maxSeen = 1 << 20

const algorithm = "AWS4-HMAC-SHA256"

func denied(code, message string) error {
	return &apiError{status: http.StatusForbidden, code: code, message: message}
}

func (s *Signatures) check(r *http.Request, body []byte, now time.Time) error {
	header := r.Header.Get("Authorization")
	if header == "" {
		return denied("MissingAuthenticationTokenException", "Missing Authentication Token")
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
	stamp := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", stamp)
	if err != nil {
		return denied("IncompleteSignatureException", "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	secret, ok := s.Keys[scope[0]]
	if !ok {
		return denied("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	if !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") || !slices.Contains(signed, "x-amz-target") {
		return denied("InvalidSignatureException", "'Host', 'X-Amz-Date' and 'X-Amz-Target' must be signed headers.")
	}
	if scope[1] != stamp[:8] || scope[2] != s.Region || scope[3] != "states" || scope[4] != "aws4_request" {
		return denied("InvalidSignatureException", "Credential should be scoped to "+stamp[:8]+"/"+s.Region+"/states/aws4_request.")
	}
	if !hmac.Equal([]byte(parts["Signature"]), []byte(sign(r, body, secret, stamp, scope[1:], signed))) {
		return denied("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if d := now.Sub(at); d > skew {
		return denied("InvalidSignatureException", "Signature expired: "+stamp+" is now earlier than "+now.Add(-skew).UTC().Format("20060102T150405Z")+" ("+now.UTC().Format("20060102T150405Z")+" - 15 min.)")
	} else if d < -skew {
		return denied("InvalidSignatureException", "Signature not yet current: "+stamp+" is still later than "+now.Add(skew).UTC().Format("20060102T150405Z")+" ("+now.UTC().Format("20060102T150405Z")+" + 15 min.)")
	}
	return s.once(parts["Signature"], at.Add(skew), now)
}

// once takes a signature the first time only.
func (s *Signatures) once(signature string, until, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]time.Time{}
	}
	if _, ok := s.seen[signature]; ok {
		return denied("InvalidSignatureException", "The signature was used before: sign each request anew.")
	}
	if len(s.seen) >= maxSeen {
		for k, t := range s.seen {
			if t.Before(now) {
				delete(s.seen, k)
			}
		}
		if len(s.seen) >= maxSeen {
			return refuse("ThrottlingException", "Rate exceeded")
		}
	}
	s.seen[signature] = until
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
