// Package log is the channel that writes each notice as one line of the log.
//
// It never refuses a notice, and promises no more than the log's handler does.
package log

import (
	"context"
	"log/slog"

	"github.com/anneal-ml/anneal"
)

// A Channel writes notices to a log.
type Channel struct{ log *slog.Logger }

// New returns a channel that writes to log.
func New(log *slog.Logger) *Channel { return &Channel{log} }

// Notify writes one line: a warning for what went wrong, else information.
func (c *Channel) Notify(ctx context.Context, n anneal.Notice) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if n.Kind == anneal.NoticeFailed || n.Kind == anneal.NoticeParked {
		level = slog.LevelWarn
	}
	facts := []slog.Attr{
		slog.String("kind", string(n.Kind)),
		slog.String("subject", n.Subject),
		slog.String("text", n.Text),
		slog.String("channel", n.Channel),
		slog.String("cause", n.Cause),
	}
	if n.Policy != "" {
		facts = append(facts, slog.String("policy", n.Policy))
	}
	if n.Model != "" {
		facts = append(facts, slog.String("model", n.Model))
	}
	c.log.LogAttrs(ctx, level, "notice", facts...)
	return nil
}
