package web

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

//go:embed pages assets
var files embed.FS

// policyHeader lets a page have nothing but what it brought along.
const policyHeader = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// inOrder are the nouns in the way of the data.
var inOrder = []string{"events", "signals", "decisions", "runs", "models", "notices"}

// pages adds what people look at.
func (h *handler) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", h.home)
	mux.HandleFunc("GET /live", h.follow)
	for _, noun := range inOrder {
		mux.HandleFunc("GET /"+noun, h.listPage(noun))
		mux.HandleFunc("GET /"+noun+"/{id}", h.showPage(noun))
	}
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // unreachable: it is embedded
	}
	mux.Handle("GET /assets/{name}", http.StripPrefix("/assets/", guarded(http.FileServerFS(assets))))
	if len(h.Tokens) > 0 {
		mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { h.render(w, r, http.StatusOK, "login", "Sign in", "") })
		mux.HandleFunc("POST /login", h.login)
		mux.HandleFunc("POST /logout", h.logout)
	}
	if h.Pause != nil && h.Resume != nil {
		mux.HandleFunc("POST /policies/{policy}/pause", h.button(h.Pause))
		mux.HandleFunc("POST /policies/{policy}/resume", h.button(h.Resume))
	}
	if h.Approve != nil && h.Reject != nil {
		mux.HandleFunc("POST /decisions/{id}/approve", h.button(h.Approve))
		mux.HandleFunc("POST /decisions/{id}/reject", h.button(h.Reject))
	}
}

func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		next.ServeHTTP(w, r)
	})
}

func guard(h http.Header) {
	h.Set("Content-Security-Policy", policyHeader)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
}

// A page is what every template is given.
type page struct {
	Title string
	Nav   string // which entry of the navigation it is under
	Now   time.Time
	Ready bool
	Parts map[string]string
	Asker string // whose token it is; empty where there are none
	Admin bool
	Live  bool // it is kept up to date
	Nouns []string
	Count int64 // of records
	Body  any

	asked func(decision string) bool // whether it still waits for approval
}

// render answers with a page, whole or not at all.
func (h *handler) render(w http.ResponseWriter, r *http.Request, status int, name, title string, body any) {
	p := page{Title: title, Nav: r.URL.Path, Now: time.Now(), Ready: true, Live: name != "login" && name != "refused", Nouns: inOrder, Count: int64(h.Journal.Last()), Body: body, asked: h.asked()}
	if h.Ready != nil {
		p.Ready, p.Parts = h.Ready()
	}
	if token := who(r); token != nil {
		p.Admin = token.Admin
		if len(h.Tokens) > 0 {
			p.Asker = token.Name
		}
	} else {
		p.Parts = nil
	}
	t, err := template.New("").Funcs(p.functions()).ParseFS(files, "pages/layout.html", "pages/tables.html", "pages/"+name+".html")
	var text bytes.Buffer
	if err == nil {
		err = t.ExecuteTemplate(&text, "layout.html", p)
	}
	if err != nil {
		h.Log.Error("page not rendered", "page", name, "err", err)
		Fail(w, fmt.Errorf("render the page: %w", err))
		return
	}
	guard(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text.Bytes()) // a peer that is gone needs no answer
}

// asked says of a decision whether it still waits for approval. Who has asked
// is looked up once, and only for a page that wants to know.
func (h *handler) asked() func(decision string) bool {
	open := sync.OnceValue(func() map[string]bool {
		decisions := map[string]bool{}
		if h.Policies != nil {
			for _, p := range h.Policies() {
				decisions[p.Asks] = true
			}
		}
		return decisions
	})
	return func(decision string) bool { return open()[decision] }
}

// refused answers a page that cannot be shown.
func (h *handler) refused(w http.ResponseWriter, r *http.Request, err error) {
	refusal := refusalOf(err)
	h.render(w, r, refusal.Status, "refused", refusal.Title, refusal.Detail)
}

// items decodes what a list holds.
func items[T any](ctx context.Context, v view, noun string, q query) ([]T, uint64, error) {
	raw, next, err := v.list(ctx, noun, q)
	if err != nil {
		return nil, 0, err
	}
	list := make([]T, len(raw))
	for i, data := range raw {
		if err := json.Unmarshal(data, &list[i]); err != nil {
			return nil, 0, fmt.Errorf("read one of the %s: %w", noun, err)
		}
	}
	return list, next, nil
}

// shownPolicies is how many policies the first page shows unasked.
const shownPolicies = 100

// overview is the body of the first page.
type overview struct {
	Groups    []group
	Policies  []standing
	More      int // policies that are not shown
	Decisions []anneal.Decision
	Runs      []ran
	Notices   []anneal.Notice
	Events    []anneal.Event
	Signals   []anneal.Signal
}

// standing is a policy and what it decided last.
type standing struct {
	Policy
	Last *anneal.Decision
}

// home is the first page: everything that goes on, the newest of each.
func (h *handler) home(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	var o overview
	models, _, err := items[anneal.Model](ctx, h.view, "models", query{limit: 500})
	if err == nil {
		o.Groups = groups(models)
		o.Decisions, _, err = items[anneal.Decision](ctx, h.view, "decisions", query{limit: 20})
	}
	var runs []anneal.Run
	if err == nil {
		runs, _, err = items[anneal.Run](ctx, h.view, "runs", query{limit: 8})
	}
	for _, run := range runs {
		o.Runs = append(o.Runs, h.ran(ctx, run))
	}
	if err == nil {
		o.Notices, _, err = items[anneal.Notice](ctx, h.view, "notices", query{limit: 8})
	}
	if err == nil {
		o.Events, _, err = items[anneal.Event](ctx, h.view, "events", query{limit: 12})
	}
	if err == nil && h.Policies != nil {
		policies := h.Policies()
		if n := len(policies); n > shownPolicies && !r.URL.Query().Has("all") {
			policies, o.More = policies[:shownPolicies], n-shownPolicies
		}
		var last []*anneal.Decision
		last, err = h.latest.of(ctx, h.view, policies)
		for i, decision := range last {
			o.Policies = append(o.Policies, standing{policies[i], decision})
		}
	}
	if err != nil {
		h.refused(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, "home", "Overview", o)
}

// listed is the body of a list's page.
type listed struct {
	Noun     string
	Items    any
	Next     string // the query of the next page, empty on the last
	Filters  []filter
	Filtered bool
}

// A filter is a field of the form above a list.
type filter struct {
	Name, Value string
	Choices     []string // empty: free text
}

func (h *handler) listPage(noun string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		values := r.URL.Query()
		if !values.Has("limit") {
			values.Set("limit", "50")
		}
		q, err := parseQuery(noun, values, time.Now())
		if err != nil {
			h.refused(w, r, err)
			return
		}
		q.limit = min(cmp.Or(q.limit, 500), 500)
		body := listed{Noun: noun}
		for _, name := range filters[noun] {
			f := filter{Name: name, Value: values.Get(name)}
			if name == "status" {
				f.Choices = statuses[noun]
			}
			body.Filtered = body.Filtered || f.Value != ""
			body.Filters = append(body.Filters, f)
		}
		var next uint64
		body.Items, next, err = h.items(r.Context(), noun, q)
		if err != nil {
			h.refused(w, r, err)
			return
		}
		if next != 0 {
			values.Set("cursor", makeCursor(noun, next))
			body.Next = "?" + values.Encode()
		}
		h.render(w, r, http.StatusOK, "list", strings.ToUpper(noun[:1])+noun[1:], body)
	}
}

func (h *handler) items(ctx context.Context, noun string, q query) (list any, next uint64, err error) {
	switch noun {
	case "events":
		return items[anneal.Event](ctx, h.view, noun, q)
	case "signals":
		return items[anneal.Signal](ctx, h.view, noun, q)
	case "decisions":
		return items[anneal.Decision](ctx, h.view, noun, q)
	case "models":
		return items[anneal.Model](ctx, h.view, noun, q)
	case "notices":
		return items[anneal.Notice](ctx, h.view, noun, q)
	}
	runs, next, err := items[anneal.Run](ctx, h.view, noun, q)
	var all []ran
	for _, run := range runs {
		all = append(all, ran{Run: run})
	}
	return all, next, err
}

// shown is the body of the page of one item.
type shown struct {
	Noun, ID string
	Item     any
	JSON     string
	Explain  string        // of a decision, in words
	Logs     []tasks.Log   // of a run
	Run      string        // that a decision led to
	Drift    *comparison   // that a signal is
	Before   *anneal.Model // the version before a model
}

func (h *handler) showPage(noun string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, id := r.Context(), r.PathValue("id")
		data, err := h.view.show(ctx, noun, id)
		if err != nil {
			h.refused(w, r, err)
			return
		}
		body := shown{Noun: noun, ID: id}
		switch noun {
		case "decisions":
			var d anneal.Decision
			if err = json.Unmarshal(data, &d); err == nil {
				body.Item = d
				if h.Explain != nil {
					body.Explain, err = h.Explain(ctx, d)
				}
				if d.Verdict == anneal.VerdictRun {
					body.Run = d.ID
				}
			}
		case "runs":
			var run anneal.Run
			if err = json.Unmarshal(data, &run); err == nil {
				body.Item = h.ran(ctx, run)
				if h.Logs != nil {
					body.Logs, err = h.Logs(ctx, run)
				}
			}
		case "signals":
			var s anneal.Signal
			s, err = decoded[anneal.Signal](data)
			body.Item, body.Drift = s, compared(s)
		case "models":
			var m anneal.Model
			m, err = decoded[anneal.Model](data)
			body.Item = m
			if before, err := find[anneal.Model](ctx, h.view, noun, anneal.ModelID(m.Group, m.Version-1)); err == nil {
				body.Before = &before // that there is none any more is no news
			}
		case "events":
			body.Item, err = decoded[anneal.Event](data)
		case "notices":
			body.Item, err = decoded[anneal.Notice](data)
		}
		if err != nil {
			h.refused(w, r, err)
			return
		}
		var text bytes.Buffer
		if json.Indent(&text, data, "", "  ") == nil {
			body.JSON = text.String()
		}
		h.render(w, r, http.StatusOK, "show", strings.TrimSuffix(noun, "s")+" "+id, body)
	}
}

// decoded is a noun of its JSON.
func decoded[T any](data []byte) (noun T, err error) {
	err = json.Unmarshal(data, &noun)
	return noun, err
}

// A comparison is what a drift signal came from, as it is shown.
type comparison struct {
	drift.Comparison
	More int // columns that are not shown
}

// mostColumns is how many columns of a comparison are shown: those that matter most.
const mostColumns = 200

// compared is the comparison that a drift signal came from, nil for other signals.
func compared(s anneal.Signal) *comparison {
	var c comparison
	if json.Unmarshal(s.Detail, &c.Comparison) != nil || c.Verdict == "" || len(c.Columns) == 0 {
		return nil
	}
	c.Columns = c.Mattering()
	c.More = max(0, len(c.Columns)-mostColumns)
	return &c
}

// Shown are the columns that are shown.
func (c comparison) Shown() []drift.Column { return c.Columns[:len(c.Columns)-c.More] }

// button does what one of a page asks for and goes back to it.
func (h *handler) button(do func(context.Context, string, string) (anneal.Decision, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := do(r.Context(), r.PathValue("policy")+r.PathValue("id"), r.PostFormValue("note")); err != nil {
			h.refused(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// functions are what the templates can do.
func (p page) functions() template.FuncMap {
	return template.FuncMap{
		"ago":       func(t time.Time) string { return ago(p.Now.Sub(t)) },
		"until":     func(t time.Time) string { return ago(t.Sub(p.Now)) },
		"stamp":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"machine":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"number":    number,
		"value":     value,
		"percent":   func(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" },
		"whole":     whole,
		"next":      func(n int) int { return n + 1 },
		"took":      took,
		"tone":      tone,
		"path":      func(noun, id string) string { return "/" + noun + "/" + url.PathEscape(id) },
		"keys":      func(m map[string]float64) []string { return sortedKeys(m) },
		"names":     func(m map[string]anneal.SignalValue) []string { return sortedKeys(m) },
		"parts":     func(m map[string]string) []string { return sortedKeys(m) },
		"condition": noticeStatus,
		"admin":     func() bool { return p.Admin },
		"asked":     p.asked,
		"seconds":   func(s float64) string { return ago(time.Duration(s * float64(time.Second))) },
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
