package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/anneal-ml/anneal/triggers"
)

const (
	pingEvery = 20 * time.Second // a connection that is quiet is lost after three
	tries     = -1               // to connect again: no end
)

// dialer dials until the source ends.
type dialer func(network, address string) (net.Conn, error)

func (d dialer) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// connect makes a connection that connects itself again, and notes how it fares,
// for as long as ctx goes on.
func (s *Source) connect(ctx context.Context) (*client.Conn, error) {
	var dialed atomic.Pointer[error] // why the last dial failed, which the client leaves out at first
	options := []client.Option{
		client.Name("anneal"),
		client.Timeout(callTime),
		client.SetCustomDialer(dialer(func(network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: callTime}).DialContext(ctx, network, address)
			dialed.Store(&err)
			return conn, err
		})),
		client.MaxReconnects(tries),
		client.IgnoreAuthErrorAbort(), // what is refused today may be granted tomorrow
		client.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(triggers.ShortestWait<<min(attempts, 16), triggers.LongestWait)
		}),
		client.ReconnectBufSize(-1), // what is not sent now is asked again
		client.PingInterval(pingEvery),
		client.MaxPingsOutstanding(2),
		client.CustomInboxPrefix(s.cfg.Inbox),
		client.DisconnectErrHandler(func(_ *client.Conn, err error) {
			if err == nil {
				err = errors.New("the connection is closed")
			}
			s.condition.note(ctx, partConnection, err)
		}),
		client.ReconnectErrHandler(func(_ *client.Conn, err error) { s.condition.note(ctx, partConnection, err) }),
		client.ReconnectHandler(func(*client.Conn) { s.condition.note(ctx, partConnection, nil) }),
		client.ErrorHandler(func(_ *client.Conn, _ *client.Subscription, err error) { s.condition.deny(ctx, err) }),
	}
	login, err := s.cfg.Login.option()
	if err != nil {
		return nil, err
	}
	if login != nil {
		options = append(options, login)
	}
	if option := s.cfg.TLS.option(); option != nil {
		options = append(options, option)
	}
	all := client.GetDefaultOptions()
	all.Servers = s.cfg.URLs
	for _, option := range options {
		if err := option(&all); err != nil {
			return nil, err
		}
	}
	conn, err := all.Connect()
	if why := dialed.Load(); errors.Is(err, client.ErrNoServers) && why != nil && *why != nil {
		err = *why
	}
	return conn, err
}

// option is how to log in, read again at each try.
func (l Login) option() (client.Option, error) {
	switch {
	case l.Credentials != nil:
		if _, _, err := l.credentials(); err != nil {
			return nil, err
		}
		return client.UserJWT(func() (string, error) {
			jwt, _, err := l.credentials()
			return jwt, err
		}, func(nonce []byte) ([]byte, error) {
			_, pair, err := l.credentials()
			if err != nil {
				return nil, err
			}
			defer pair.Wipe()
			return pair.Sign(nonce)
		}), nil
	case l.NKey != nil:
		seed, err := l.NKey()
		if err != nil {
			return nil, fmt.Errorf("nkey: %w", err)
		}
		pair, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return nil, errors.New("nkey: want the seed of a user's key, which begins with SU")
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("nkey: %w", err)
		}
		return client.Nkey(public, pair.Sign), nil
	case l.User != nil:
		// The callback cannot say what went wrong; this can.
		if _, err := l.User(); err != nil {
			return nil, fmt.Errorf("user: %w", err)
		}
		if _, err := l.Password(); err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
		return client.UserInfoHandler(func() (string, string) { return read(l.User), read(l.Password) }), nil
	case l.Token != nil:
		if _, err := l.Token(); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		return client.TokenHandler(func() string { return read(l.Token) }), nil
	}
	return nil, nil
}

// credentials are the JWT and the key of a .creds file.
func (l Login) credentials() (string, nkeys.KeyPair, error) {
	text, err := l.Credentials()
	if err != nil {
		return "", nil, fmt.Errorf("credentials: %w", err)
	}
	jwt, err := nkeys.ParseDecoratedJWT([]byte(text))
	if err != nil {
		return "", nil, errors.New("credentials: there is no JWT in it; want what is in a .creds file")
	}
	pair, err := nkeys.ParseDecoratedUserNKey([]byte(text))
	if err != nil {
		return "", nil, errors.New("credentials: there is no seed of a user's key in it; want what is in a .creds file")
	}
	return jwt, pair, nil
}

// read is a secret, or nothing, which the server refuses.
func read(s Secret) string {
	value, err := s()
	if err != nil {
		return ""
	}
	return value
}

// option is the files of TLS, read again at each try.
func (t TLS) option() client.Option {
	var cert client.TLSCertHandler
	var roots client.RootCAsHandler
	if t.Cert != "" {
		cert = func() (tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
			if err != nil {
				return pair, fmt.Errorf("tls: cert, key: %w", err)
			}
			return pair, nil
		}
	}
	if t.CA != "" {
		roots = func() (*x509.CertPool, error) {
			text, err := os.ReadFile(t.CA)
			if err != nil {
				return nil, fmt.Errorf("tls: ca: %w", err)
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("tls: ca: there is no certificate in %s; want PEM", t.CA)
			}
			return pool, nil
		}
	}
	if cert == nil && roots == nil {
		return nil
	}
	return client.ClientTLSConfig(cert, roots)
}
