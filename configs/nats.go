package configs

import (
	"net/url"
	"slices"
	"time"

	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers/nats"
)

// NATS is a stream of NATS JetStream that events come by: CloudEvents, S3's
// notifications as S3-compatible stores send them, EventBridge's events, and
// messages of one's own. The stream must be there; the durable consumer is made.
// The daemon logs in with one of Credentials, NKey, User with Password, and Token,
// or with none.
type NATS struct {
	// URL is a server of the cluster, or a list of them: nats://, tls://, ws:// or
	// wss://. nats://127.0.0.1:4222 if none.
	URL    Secrets `json:"url"`
	Stream string  `json:"stream"`
	// Subjects are what is followed of the stream, with wildcards. All if none.
	Subjects []string `json:"subjects"`
	// Durable is the consumer's name. Daemons that name the same one share its
	// messages. anneal if empty.
	Durable     string   `json:"durable"`
	Credentials Secret   `json:"credentials"` // a .creds file
	NKey        Secret   `json:"nkey"`        // the seed of a user's key
	User        Secret   `json:"user"`
	Password    Secret   `json:"password"`
	Token       Secret   `json:"token"`
	TLS         *NATSTLS `json:"tls"`
	// Inbox is the prefix of the subjects on which answers come. _INBOX if empty.
	Inbox string `json:"inbox"`
	// Pending is how many messages are held that are not durable yet. 256 if zero.
	Pending int `json:"pending,omitempty" min:"1"`
	// AckWait is how long the server waits after a crash before a message comes
	// again. 30s if zero.
	AckWait policy.Duration `json:"ackWait,omitempty" min:"1s"`
}

// NATSTLS are files in PEM for the connection.
type NATSTLS struct {
	CA   File `json:"ca"`   // who is trusted; the system's if empty
	Cert File `json:"cert"` // who the daemon is, with the key
	Key  File `json:"key"`
}

// Source is what the source is made of, for the URLs of servers.
func (n *NATS) Source(urls []string) nats.Config {
	read := func(s Secret) nats.Secret {
		if s == (Secret{}) {
			return nil
		}
		return s.Resolve
	}
	cfg := nats.Config{
		URLs: urls, Stream: n.Stream, Subjects: n.Subjects, Durable: n.Durable, Pending: n.Pending, AckWait: time.Duration(n.AckWait), Inbox: n.Inbox,
		Login: nats.Login{Credentials: read(n.Credentials), NKey: read(n.NKey), User: read(n.User), Password: read(n.Password), Token: read(n.Token)},
	}
	if n.TLS != nil {
		cfg.TLS = nats.TLS{CA: string(n.TLS.CA), Cert: string(n.TLS.Cert), Key: string(n.TLS.Key)}
	}
	return cfg
}

func (n *NATS) check(d *decoder, path string, others []Source) {
	var written []string
	for _, s := range n.URL {
		if s.value == "" {
			continue // the rest can be checked without
		}
		if u, err := url.Parse(s.value); err == nil && u.User != nil {
			d.add(path+".url", -1, "a password is not written here: write user and password, or token, as {env: NAME} or {file: PATH}")
		}
		written = append(written, s.value)
	}
	if err := n.Source(written).WithDefaults().Validate(); err != nil {
		d.add(path, -1, "%v", err)
	}
	for key, secret := range map[string]Secret{"credentials": n.Credentials, "nkey": n.NKey, "password": n.Password, "token": n.Token} {
		secret.checkNamed(d, path+"."+key)
	}
	if slices.ContainsFunc(others, func(o Source) bool {
		return o.NATS != nil && o.NATS.Stream == n.Stream && o.NATS.Durable == n.Durable && slices.Equal(o.NATS.URL, n.URL)
	}) {
		d.add(path, -1, "another source is the consumer of this stream: name both under its subjects, or give one another durable")
	}
}
