package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Signature is a way to sign a request.
type Signature string

// The signatures.
const (
	Standard Signature = "standard" // Standard Webhooks 1.0
	Hub      Signature = "hub"      // X-Hub-Signature-256
)

const (
	secretPrefix = "whsec_"

	// tolerance is how far a timestamp may be from now.
	tolerance = 5 * time.Minute

	maxID         = 256 // bytes of a webhook-id
	maxSignatures = 16  // of one request, while keys change
)

// key is the key that a secret stands for.
func (s Signature) key(secret string) ([]byte, error) {
	key := []byte(secret)
	if s == Standard {
		var err error
		if key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix)); err != nil {
			return nil, errors.New("want whsec_ and base64, as Standard Webhooks has it") // and not the secret
		}
	}
	if len(key) == 0 {
		return nil, errors.New("is empty")
	}
	return key, nil
}

// A claim is what a request's headers say of who sent it. It is worth nothing
// until it is verified.
type claim struct {
	prefix string    // what is signed before the body
	macs   [][]byte  // of which one must be right
	id     string    // of the delivery; empty with hub
	at     time.Time // zero with hub
}

// claim reads the headers. What it refuses needs no look at the body.
func (s Signature) claim(h http.Header, now time.Time) (claim, error) {
	if s == Hub {
		return hubClaim(h)
	}
	return standardClaim(h, now)
}

func hubClaim(h http.Header) (claim, error) {
	text := h.Get("X-Hub-Signature-256")
	if text == "" {
		return claim{}, errors.New("X-Hub-Signature-256: is missing; what is not signed is not taken")
	}
	digits, ok := strings.CutPrefix(text, "sha256=")
	mac, err := hex.DecodeString(digits)
	if !ok || err != nil || len(mac) != sha256.Size {
		return claim{}, errors.New("X-Hub-Signature-256: want sha256= and 64 hexadecimal digits")
	}
	return claim{macs: [][]byte{mac}}, nil
}

// standardClaim reads the headers of the Standard Webhooks specification 1.0.
func standardClaim(h http.Header, now time.Time) (claim, error) {
	id, timestamp, signatures := h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature")
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		if h.Get(name) == "" {
			return claim{}, fmt.Errorf("%s: is missing; want webhook-id, webhook-timestamp and webhook-signature", name)
		}
	}
	// A dot in it would let another split of what is signed have the same
	// signature.
	if len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r == '.' || r <= ' ' || r > '~' }) {
		return claim{}, fmt.Errorf("webhook-id: want at most %d visible ASCII characters without a dot", maxID)
	}
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if err != nil {
		return claim{}, errors.New("webhook-timestamp: want seconds since 1970")
	}
	at := time.Unix(int64(seconds), 0).UTC()
	if now.Sub(at).Abs() > tolerance {
		return claim{}, fmt.Errorf("webhook-timestamp: %s is more than %s from now, %s", at.Format(time.RFC3339), tolerance, now.UTC().Format(time.RFC3339))
	}
	list := strings.Fields(signatures)
	if len(list) > maxSignatures {
		return claim{}, fmt.Errorf("webhook-signature: has %d signatures; want at most %d", len(list), maxSignatures)
	}
	c := claim{prefix: id + "." + timestamp + ".", id: id, at: at}
	for _, signature := range list {
		text, ok := strings.CutPrefix(signature, "v1,")
		if !ok {
			continue // v1a is of public keys; what comes after it is not known
		}
		if mac, err := base64.StdEncoding.DecodeString(text); err == nil && len(mac) == sha256.Size {
			c.macs = append(c.macs, mac)
		}
	}
	if c.macs == nil {
		return claim{}, errors.New("webhook-signature: want v1, and the base64 of 32 bytes")
	}
	return c, nil
}

// verify reports whether one of the keys has signed body as c claims. How long
// it takes does not depend on which bytes are wrong.
func (c claim) verify(keys [][]byte, body []byte) bool {
	right := false
	for _, key := range keys {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(c.prefix))
		h.Write(body)
		want := h.Sum(nil)
		for _, mac := range c.macs {
			right = hmac.Equal(mac, want) || right
		}
	}
	return right
}

// identity is what of a verified delivery is signed and its own.
func (c claim) identity(body []byte) string {
	if c.id != "" {
		return c.id
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
