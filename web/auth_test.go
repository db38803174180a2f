package web_test

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/web"
)

// guardedBy is a handler that answers those with a token.
func guardedBy(t *testing.T, change func(*web.Config)) http.Handler {
	t.Helper()
	return whole(t, func(cfg *web.Config) {
		cfg.Tokens = []web.Token{
			{Name: "ops", SHA256: sha256.Sum256([]byte("root-token")), Admin: true},
			{Name: "eve", SHA256: sha256.Sum256([]byte("view-token"))},
		}
		cfg.Hooks = map[string]http.Handler{"/hooks/git": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })}
		if change != nil {
			change(cfg)
		}
	})
}

// TestWho is who may do what, off loopback.
func TestWho(t *testing.T) {
	h := guardedBy(t, nil)
	const trigger = "/api/v1/policies/p/trigger"
	for _, test := range []struct {
		name, method, path, token string
		status                    int
	}{
		{"alive", "GET", "/livez", "", 200},
		{"ready", "GET", "/readyz", "", 200},
		{"ready, by a wrong token", "GET", "/readyz", "Bearer x", 200},
		{"the form", "GET", "/login", "", 200},
		{"its looks", "GET", "/assets/anneal.css", "", 200},
		{"no list of them", "GET", "/assets/", "", 404},
		{"a webhook", "POST", "/hooks/git", "", 202},
		{"beside a webhook", "POST", "/hooks/git/", "", 401},
		{"nobody reads", "GET", "/api/v1/runs", "", 401},
		{"nobody measures", "GET", "/metrics", "", 401},
		{"nobody sees the page", "GET", "/", "", 401},
		{"nobody is kept up to date", "GET", "/live", "", 401},
		{"nobody asks what there is", "GET", "/api/v1/openapi.json", "", 401},
		{"nobody learns what is not there", "GET", "/nothing", "", 401},
		{"nobody writes", "POST", trigger, "", 401},
		{"a wrong token", "GET", "/api/v1/runs", "Bearer wrong", 401},
		{"no token at all", "GET", "/api/v1/runs", "Bearer ", 401},
		{"the hash of one", "GET", "/api/v1/runs", "Bearer 9f86d081884c7d659a2feaa0c55ad015", 401},
		{"another scheme", "GET", "/api/v1/runs", "Basic root-token", 401},
		{"a viewer reads", "GET", "/api/v1/runs", "Bearer view-token", 200},
		{"a viewer sees the page", "GET", "/", "Bearer view-token", 200},
		{"a viewer asks whether there is", "HEAD", "/api/v1/runs", "bearer view-token", 200},
		{"a viewer writes", "POST", trigger, "Bearer view-token", 403},
		{"a viewer pauses by the page", "POST", "/policies/p/pause", "Bearer view-token", 403},
		{"a viewer has events replayed", "POST", "/api/v1/events/e2/replay", "Bearer view-token", 403},
		{"an admin writes", "POST", trigger, "Bearer root-token", 200},
	} {
		header := []string{"Host", "anneal.example:8443"}
		if test.token != "" {
			header = append(header, "Authorization", test.token)
		}
		w := ask(h, test.method, test.path, "", header...)
		if w.Code != test.status {
			t.Errorf("%s: %d %s, want %d", test.name, w.Code, w.Body, test.status)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: is not told how", test.name)
		}
	}
	if w := ask(h, "GET", "/readyz", ""); strings.Contains(w.Body.String(), "journal") {
		t.Errorf("everybody is told of the parts: %s", w.Body)
	}
	if w := ask(h, "GET", "/readyz", "", "Authorization", "Bearer view-token"); !strings.Contains(w.Body.String(), "journal") {
		t.Errorf("a viewer is not told of the parts: %s", w.Body)
	}
	if w := ask(h, "GET", "/", "", "Accept", "text/html"); w.Code != 303 || w.Header().Get("Location") != "/login" {
		t.Errorf("a browser is not sent to the form: %d %s", w.Code, w.Header())
	}
}

// signIn gives a token in and returns what came of it.
func signIn(h http.Handler, token string, header ...string) *httptest.ResponseRecorder {
	return ask(h, "POST", "/login", "token="+token, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func TestSession(t *testing.T) {
	h := guardedBy(t, nil)
	if w := signIn(h, "wrong"); w.Code != 401 || len(w.Result().Cookies()) > 0 || !strings.Contains(w.Body.String(), "no token that is known") {
		t.Errorf("a wrong token: %d %s", w.Code, w.Body)
	}
	w := signIn(h, "root-token", "Origin", "http://127.0.0.1:8080")
	cookies := w.Result().Cookies()
	if w.Code != 303 || len(cookies) != 1 {
		t.Fatalf("signed in: %d, %d cookies", w.Code, len(cookies))
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 || strings.Contains(c.Value, "root-token") {
		t.Errorf("cookie %+v", c)
	}
	session := c.Name + "=" + c.Value
	if w := ask(h, "GET", "/", "", "Cookie", session); w.Code != 200 || !strings.Contains(w.Body.String(), "Sign out") {
		t.Errorf("a session sees %d", w.Code)
	}
	if w := ask(h, "POST", "/policies/p/pause", "", "Cookie", session, "Origin", "http://127.0.0.1:8080"); w.Code != 303 {
		t.Errorf("an admin's button: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "POST", "/policies/p/pause", "", "Cookie", session, "Origin", "https://evil.example"); w.Code != 403 {
		t.Errorf("another page's button: %d %s", w.Code, w.Body)
	}
	// What is not ours, or of another process.
	other := signIn(guardedBy(t, nil), "root-token").Result().Cookies()[0].Value
	for _, value := range []string{"", "x", c.Value + "A", c.Value[:len(c.Value)-2] + "AA", other} {
		if w := ask(h, "GET", "/api/v1/runs", "", "Cookie", c.Name+"="+value); w.Code != 401 {
			t.Errorf("session %q: %d", value, w.Code)
		}
	}
	// A viewer's session reads and does not write, and has no buttons.
	c = signIn(h, "view-token").Result().Cookies()[0]
	session = c.Name + "=" + c.Value
	if w := ask(h, "GET", "/", "", "Cookie", session); w.Code != 200 || strings.Contains(w.Body.String(), "Pause") {
		t.Errorf("a viewer sees %d, with a button: %t", w.Code, strings.Contains(w.Body.String(), "Pause"))
	}
	if w := ask(h, "POST", "/policies/p/pause", "", "Cookie", session); w.Code != 403 {
		t.Errorf("a viewer's button: %d", w.Code)
	}
	if w := ask(h, "POST", "/logout", "", "Cookie", session); w.Code != 303 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("signed out: %d %v", w.Code, w.Result().Cookies())
	}
	if w := ask(h, "GET", "/api/v1/events", "", "Cookie", session); w.Code != 401 {
		t.Errorf("a session that was signed out of: %d, want 401", w.Code)
	}
}
