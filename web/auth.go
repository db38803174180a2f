package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Token is one bearer token. The token itself is not known here.
type Token struct {
	Name   string
	SHA256 [32]byte // of its text
	Admin  bool     // may write; else it may only read
}

const (
	sessionCookie = "anneal_session"
	sessionTime   = 12 * time.Hour
)

// sessions are browsers that have shown a token. What a session holds is in its
// cookie, signed with a key of this process: a restart ends all, and who has
// read the hashes of the tokens can make none.
type sessions struct {
	key [32]byte

	mu    sync.Mutex
	ended map[string]time.Time // guarded by mu; those signed out of, until they would have ended
}

// begin is the cookie of a new session.
func (s *sessions) begin(name string, until time.Time) string {
	return s.sign(strconv.FormatInt(until.Unix(), 10) + "." + rand.Text() + "." + name)
}

func (s *sessions) sign(text string) string {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(append(mac.Sum(nil), text...))
}

// end has a session be known no more.
func (s *sessions) end(cookie string, now time.Time) {
	if _, ok := s.name(cookie, now); !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = map[string]time.Time{}
	}
	maps.DeleteFunc(s.ended, func(_ string, until time.Time) bool { return now.After(until) })
	s.ended[cookie] = now.Add(sessionTime)
}

// name is whose token the cookie was made for.
func (s *sessions) name(cookie string, now time.Time) (string, bool) {
	data, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(data) < sha256.Size {
		return "", false
	}
	text := string(data[sha256.Size:])
	seconds, rest, _ := strings.Cut(text, ".")
	_, name, _ := strings.Cut(rest, ".")
	until, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || !hmac.Equal([]byte(s.sign(text)), []byte(cookie)) {
		return "", false
	}
	s.mu.Lock()
	_, ended := s.ended[cookie]
	s.mu.Unlock()
	return name, now.Unix() < until && !ended
}

// byText is the token with this text, nil if there is none. How long it takes
// says nothing of which.
func (h *handler) byText(text string) *Token {
	sum := sha256.Sum256([]byte(text))
	var found *Token
	for i := range h.Tokens {
		if subtle.ConstantTimeCompare(sum[:], h.Tokens[i].SHA256[:]) == 1 {
			found = &h.Tokens[i]
		}
	}
	return found
}

func (h *handler) byName(name string) *Token {
	for i := range h.Tokens {
		if h.Tokens[i].Name == name {
			return &h.Tokens[i]
		}
	}
	return nil
}

// everybody is who asks where no tokens are.
var everybody = &Token{Name: "local", Admin: true}

// asker finds out who asks: nil if they do not say.
func (h *handler) asker(r *http.Request) (*Token, error) {
	if len(h.Tokens) == 0 {
		return everybody, nil
	}
	if given := r.Header.Get("Authorization"); given != "" {
		scheme, text, _ := strings.Cut(given, " ")
		if token := h.byText(strings.TrimSpace(text)); token != nil && strings.EqualFold(scheme, "Bearer") {
			return token, nil
		}
		return nil, Refuse(http.StatusUnauthorized, "this is no token that is known here (want Authorization: Bearer TOKEN, as `anneal token new` printed it)")
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		if name, ok := h.sessions.name(c.Value, time.Now()); ok {
			return h.byName(name), nil
		}
	}
	return nil, nil
}

// open are the paths that need no token.
func openPath(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/login" || path == "/logout" || strings.HasPrefix(path, "/assets/")
}

// asksPage reports whether a browser asks, for a person.
func asksPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

type askerKey struct{}

// who is the token that a request came with, nil if it came without one.
func who(r *http.Request) *Token {
	token, _ := r.Context().Value(askerKey{}).(*Token)
	return token
}

// authenticate refuses who may not ask. It must stand inside sameOrigin: a
// cookie alone does not say that a page of ours sent it.
func (h *handler) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := h.asker(r)
		open := openPath(r.URL.Path)
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.URL.Path == "/api/v1/decisions/verify"
		switch {
		case open:
		case err == nil && token == nil && reads && asksPage(r):
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		case err == nil && token == nil:
			err = Refuse(http.StatusUnauthorized, "a token is needed (Authorization: Bearer TOKEN; the commands send $ANNEAL_TOKEN)")
			fallthrough
		case err != nil:
			w.Header().Set("WWW-Authenticate", `Bearer realm="anneal"`)
			Fail(w, err)
			return
		case !token.Admin && !reads:
			Fail(w, Refuse(http.StatusForbidden, "token %s is a viewer's: it may read, and not write (role admin may)", token.Name))
			return
		}
		if !reads && !open {
			h.Log.Info("asked", "by", token.Name, "method", r.Method, "path", r.URL.Path)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askerKey{}, token)))
	})
}

// login takes a token from a browser and gives it a session.
func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	token := h.byText(strings.TrimSpace(r.PostFormValue("token")))
	if token == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="anneal"`)
		h.render(w, r, http.StatusUnauthorized, "login", "Sign in", "This is no token that is known here.")
		return
	}
	h.Log.Info("signed in", "by", token.Name)
	until := time.Now().Add(sessionTime)
	http.SetCookie(w, h.cookie(r, h.sessions.begin(token.Name, until), int(sessionTime.Seconds())))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (h *handler) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		h.sessions.end(c.Value, time.Now())
	}
	http.SetCookie(w, h.cookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (h *handler) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}
