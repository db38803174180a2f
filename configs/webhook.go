package configs

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/triggers/webhook"
)

// Webhook is a path of the daemon that others send events to, each signed with
// a secret: HMAC or Secret, of which any will do while they are changed. The
// signature is all that a sender needs; it has no token.
type Webhook struct {
	Path string `json:"path"` // such as /hooks/git
	// HMAC are secrets of X-Hub-Signature-256, the way of GitHub and Gitea.
	HMAC Secrets `json:"hmac"`
	// Secret are secrets of Standard Webhooks, whsec_ and base64.
	Secret Secrets `json:"secret"`
}

// reserved are the beginnings of the paths that the daemon itself answers.
var reserved = []string{
	"api", "livez", "readyz", "metrics", "login", "logout", "live", "assets",
	"events", "signals", "decisions", "runs", "models", "notices", "policies",
}

func (w *Webhook) check(d *decoder, path string, others []Source) {
	switch first, _, _ := strings.Cut(strings.TrimPrefix(w.Path, "/"), "/"); {
	case w.Path == "":
		d.add(path, -1, "a webhook needs a path: {path: /hooks/git, hmac: {env: GIT_HOOK_SECRET}}")
	case webhook.CheckPath(w.Path) != nil:
		d.add(path+".path", -1, "%v", webhook.CheckPath(w.Path))
	case slices.Contains(reserved, first):
		d.add(path+".path", -1, "/%s is the daemon's own: write a path such as /hooks/%s", first, first)
	case slices.ContainsFunc(others, func(o Source) bool { return o.Webhook != nil && o.Webhook.Path == w.Path }):
		d.add(path+".path", -1, "another webhook has the path %s: give each its own", w.Path)
	}
	switch {
	case w.HMAC == nil && w.Secret == nil:
		d.add(path, -1, "what is not signed is not taken: a webhook needs hmac: {env: NAME} (X-Hub-Signature-256) or secret: {env: NAME} (Standard Webhooks)")
	case w.HMAC != nil && w.Secret != nil:
		d.add(path, -1, "a webhook has hmac or secret, not both: give each way of signing a path of its own")
	}
	w.HMAC.check(d, path+".hmac")
	w.Secret.check(d, path+".secret")
}

// Secrets are one secret or a list of them.
type Secrets []Secret

func (s *Secrets) decode(d *decoder, n *node, path string) {
	items := []*node{n}
	if n.kind == sequence {
		if items = n.items; len(items) == 0 {
			d.form(n, "a secret is needed here: {env: NAME} or {file: PATH}")
		}
	}
	*s = make(Secrets, len(items))
	for i, item := range items {
		(*s)[i].decode(d, item, path)
	}
}

func (s Secrets) check(d *decoder, path string) {
	for _, secret := range s {
		secret.checkNamed(d, path)
	}
}

// Resolve reads the values.
func (s Secrets) Resolve() ([]string, error) {
	var values []string
	for _, secret := range s {
		value, err := secret.Resolve()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// WebhookChannel is a place that notices are posted to, signed by Standard
// Webhooks.
type WebhookChannel struct {
	URL    Secret `json:"url"`    // http or https; many hold a secret
	Secret Secret `json:"secret"` // whsec_ and base64
}

func (w *WebhookChannel) check(d *decoder, path string) {
	if w.URL == (Secret{}) {
		d.add(path, -1, "a webhook needs a url: {url: {env: HOOK_URL}, secret: {env: HOOK_SECRET}}")
	}
	if w.Secret == (Secret{}) {
		d.add(path, -1, "a webhook needs a secret to sign with: {url: {env: HOOK_URL}, secret: {env: HOOK_SECRET}}")
	}
	w.Secret.checkNamed(d, path+".secret")
}
