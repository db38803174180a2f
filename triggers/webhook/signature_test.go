package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// From the Standard Webhooks libraries' own tests, and GitHub's page on
	// validating deliveries.
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hubSecret      = "It's a Secret to Everybody"
)

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// signStandard is the headers of a body, in the manner of Standard Webhooks.
func signStandard(t testing.TB, secret, id string, at time.Time, body string) http.Header {
	t.Helper()
	key, err := Standard.key(secret)
	if err != nil {
		t.Fatal(err)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return header("webhook-id", id, "webhook-timestamp", timestamp,
		"webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func signHub(secret, body string) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return header("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

func keys(t testing.TB, signature Signature, secrets ...string) (keys [][]byte) {
	t.Helper()
	for _, secret := range secrets {
		key, err := signature.key(secret)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestSignatures(t *testing.T) {
	const (
		id, stamp = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
		body      = `{"test": 2432232314}`
		right     = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		wrong     = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
		hubBody   = "Hello, World!"
		hubRight  = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
		other     = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	)
	now := time.Unix(1614265330, 0)
	standard := func(id, stamp, signature string) http.Header {
		return header("webhook-id", id, "webhook-timestamp", stamp, "webhook-signature", signature)
	}
	hub := func(signature string) http.Header { return header("X-Hub-Signature-256", signature) }
	const accepted, notOurs = "", "not ours"
	for _, test := range []struct {
		name    string
		header  http.Header
		body    string
		now     time.Time
		secrets []string
		want    string // in the error
	}{
		{"published", standard(id, stamp, right), body, now, nil, accepted},
		{"the second secret", standard(id, stamp, right), body, now, []string{other, standardSecret}, accepted},
		{"one of several signatures", standard(id, stamp, "v1a,xyz "+wrong+" "+right), body, now, nil, accepted},
		{"five minutes old", standard(id, stamp, right), body, now.Add(5 * time.Minute), nil, accepted},
		{"five minutes ahead", standard(id, stamp, right), body, now.Add(-5 * time.Minute), nil, accepted},
		{"older", standard(id, stamp, right), body, now.Add(5*time.Minute + 1), nil, "webhook-timestamp: 2021-02-25T15:02:10Z is more than 5m0s from now, 2021-02-25T15:07:10Z"},
		{"further ahead", standard(id, stamp, right), body, now.Add(-5*time.Minute - 1), nil, "more than 5m0s from now"},
		{"another secret", standard(id, stamp, right), body, now, []string{other}, notOurs},
		{"another body", standard(id, stamp, right), body + " ", now, nil, notOurs},
		{"no body", standard(id, stamp, right), "", now, nil, notOurs},
		{"another id", standard("msg_2", stamp, right), body, now, nil, notOurs},
		{"another time", standard(id, "1614265331", right), body, now, nil, notOurs},
		{"another signature", standard(id, stamp, wrong), body, now, nil, notOurs},
		{"the other version only", standard(id, stamp, "v2,"+right[3:]), body, now, nil, "webhook-signature: want v1,"},
		{"short", standard(id, stamp, right[:20]+"="), body, now, nil, "webhook-signature: want v1,"},
		{"not base64", standard(id, stamp, "v1,%%%"), body, now, nil, "webhook-signature: want v1,"},
		{"too many", standard(id, stamp, strings.Repeat(wrong+" ", 17)), body, now, nil, "has 17 signatures; want at most 16"},
		{"a dot", standard("msg.2", stamp, right), body, now, nil, "webhook-id: want"},
		{"a long id", standard(strings.Repeat("m", 257), stamp, right), body, now, nil, "webhook-id: want"},
		{"time with a sign", standard(id, "-1", right), body, now, nil, "webhook-timestamp: want seconds"},
		{"time with a fraction", standard(id, stamp+".5", right), body, now, nil, "webhook-timestamp: want seconds"},
		{"time out of range", standard(id, "99999999999999999999", right), body, now, nil, "webhook-timestamp: want seconds"},
		{"no id", standard("", stamp, right), body, now, nil, "webhook-id: is missing"},
		{"no time", standard(id, "", right), body, now, nil, "webhook-timestamp: is missing"},
		{"no signature", standard(id, stamp, ""), body, now, nil, "webhook-signature: is missing"},

		{"hub: published", hub(hubRight), hubBody, now, []string{hubSecret}, accepted},
		{"hub: the second secret", hub(hubRight), hubBody, now, []string{"x", hubSecret}, accepted},
		{"hub: upper case", hub("sha256=" + strings.ToUpper(hubRight[7:])), hubBody, now, []string{hubSecret}, accepted},
		{"hub: another secret", hub(hubRight), hubBody, now, []string{"x"}, notOurs},
		{"hub: another body", hub(hubRight), "Hello, world!", now, []string{hubSecret}, notOurs},
		{"hub: none", hub(""), hubBody, now, []string{hubSecret}, "X-Hub-Signature-256: is missing"},
		{"hub: SHA-1", hub("sha1=" + hubRight[7:47]), hubBody, now, []string{hubSecret}, "want sha256= and 64 hexadecimal digits"},
		{"hub: short", hub(hubRight[:69]), hubBody, now, []string{hubSecret}, "want sha256= and 64 hexadecimal digits"},
		{"hub: long", hub(hubRight + "00"), hubBody, now, []string{hubSecret}, "want sha256= and 64 hexadecimal digits"},
		{"hub: without its name", hub(hubRight[7:]), hubBody, now, []string{hubSecret}, "want sha256= and 64 hexadecimal digits"},
	} {
		signature, secrets := Standard, test.secrets
		if strings.HasPrefix(test.name, "hub: ") {
			signature = Hub
		}
		if secrets == nil {
			secrets = []string{standardSecret}
		}
		got := accepted
		if c, err := signature.claim(test.header, test.now); err != nil {
			got = err.Error()
		} else if !c.verify(keys(t, signature, secrets...), []byte(test.body)) {
			got = notOurs
		}
		if got != test.want && (test.want == accepted || !strings.Contains(got, test.want)) {
			t.Errorf("%s: got %q; want %q", test.name, got, test.want)
		}
	}
}

// No headers make a body pass that was not signed, nor one that was signed pass
// as another delivery; and nothing panics.
func FuzzSignature(f *testing.F) {
	now := time.Unix(1614265330, 0)
	f.Add("msg_1", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", []byte("{}"))
	f.Add("a.1614265330", "1614265330", "v1, v1,= v2,x", "sha256=", []byte(""))
	standardKeys, hubKeys := keys(f, Standard, standardSecret), keys(f, Hub, hubSecret)
	real, err := Standard.claim(signStandard(f, standardSecret, "msg_real", now, "{}"), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, stamp, standard, hub string, body []byte) {
		h := header("webhook-id", id, "webhook-timestamp", stamp, "webhook-signature", standard, "X-Hub-Signature-256", hub)
		if c, err := Hub.claim(h, now); err == nil && c.verify(hubKeys, body) {
			t.Fatalf("%q is the signature of %q", hub, body)
		}
		c, err := Standard.claim(h, now)
		if err != nil {
			return
		}
		if c.verify(standardKeys, body) {
			t.Fatalf("%q is the signature of %q", standard, body)
		}
		c.macs = real.macs
		if c.verify(standardKeys, body) && (id != "msg_real" || string(body) != "{}") {
			t.Fatalf("the signature of msg_real is one of %q with body %q too", id, body)
		}
	})
}

// Of several headers that are missing, the same one is told of each time.
func TestMissingHeaders(t *testing.T) {
	for range 20 {
		_, err := Standard.claim(header(), time.Now())
		if want := "webhook-id: is missing; want webhook-id, webhook-timestamp and webhook-signature"; err == nil || err.Error() != want {
			t.Fatalf("without headers: %v; want %s", err, want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   string // in the error
	}{
		{Config{Path: "/hooks/git", Secrets: []string{hubSecret}}, ""},
		{Config{Path: "/hooks/v1.2_x~y-z", Secrets: []string{standardSecret}}, ""},
		{Config{Path: "/h", Signature: Standard, Secrets: []string{standardSecret[6:]}}, ""},
		{Config{Path: "/h"}, "secrets: are missing; want one at least"},
		{Config{Path: "/h", Secrets: []string{standardSecret, ""}}, "secrets[1]: is empty"},
		{Config{Path: "/h", Signature: Standard, Secrets: []string{"whsec_"}}, "secrets[0]: is empty"},
		{Config{Path: "/h", Signature: Standard, Secrets: []string{"hunter2!"}}, "secrets[0]: want whsec_ and base64"},
		{Config{Path: "/h", Signature: "none", Secrets: []string{"x"}}, `signature: "none": want standard or hub`},
		{Config{Path: "", Secrets: []string{"x"}}, `path: ""`},
		{Config{Path: "hooks", Secrets: []string{"x"}}, `path: "hooks"`},
		{Config{Path: "/hooks/", Secrets: []string{"x"}}, "path:"},
		{Config{Path: "/hooks//git", Secrets: []string{"x"}}, "path:"},
		{Config{Path: "/hooks/../git", Secrets: []string{"x"}}, "path:"},
		{Config{Path: "/{x}", Secrets: []string{"x"}}, "path:"},
		{Config{Path: "GET /x", Secrets: []string{"x"}}, "path:"},
	} {
		got := fmt.Sprint(test.config.WithDefaults().Validate())
		if test.want == "" && got != "<nil>" || !strings.Contains(got, test.want) {
			t.Errorf("%q %s: got error %s; want %q in it", test.config.Path, test.config.Signature, got, test.want)
		}
		for _, secret := range test.config.Secrets {
			if len(secret) > 1 && strings.Contains(got, secret) && secret != secretPrefix {
				t.Errorf("the error shows a secret: %s", got)
			}
		}
	}
	for secret, want := range map[string]Signature{standardSecret: Standard, hubSecret: Hub} {
		if got := (Config{Secrets: []string{secret}}).WithDefaults().Signature; got != want {
			t.Errorf("signature of a secret such as %s: %s; want %s", secret, got, want)
		}
	}
}
