package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newHealth() *cobra.Command {
	var where reach
	var ready bool
	var within time.Duration
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask the daemon whether it is alive, or ready",
		Long: `Ask the daemon whether it is alive (/livez), or ready for work (/readyz): for health
checks of containers that have no other program. Exit status 0: yes; 1: it answers no;
3: it does not answer.`,
		Example: "  anneal health\n  anneal health --ready",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, close, err := where.client(cmd.Context())
			if err != nil {
				return err
			}
			defer close()
			path := "/livez"
			if ready {
				path = "/readyz"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, client.base+path, nil)
			if err != nil {
				return usage(err)
			}
			if client.token != "" {
				req.Header.Set("Authorization", "Bearer "+client.token)
			}
			resp, err := client.do(req)
			if err != nil {
				return client.unanswered(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(cmd.OutOrStdout(), io.LimitReader(resp.Body, 64<<10)); err != nil {
				return broken(err)
			}
			if resp.StatusCode != http.StatusOK {
				return &exit{exitNo, fmt.Errorf("%s answers %d", path, resp.StatusCode)}
			}
			return nil
		},
	}
	where.daemonFlags(c)
	c.Flags().BoolVar(&ready, "ready", false, "ask whether it is ready, not only alive")
	c.Flags().DurationVar(&within, "within", 5*time.Second, "how long to wait for the answer")
	return c
}
