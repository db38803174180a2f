package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
)

func newToken() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a bearer token for the daemon's API and page",
		Long: `Off loopback a daemon answers only those who have a token. The settings know each
token by its hash alone; its holder keeps it, and commands send $ANNEAL_TOKEN.`,
	}
	var role string
	var out output
	create := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a token, print it once, and the entry that lets it in",
		Long: `Make a token. It is printed once, and kept nowhere: only its hash goes into the
settings, under auth: {tokens: […]}. A viewer reads; an admin steers too.`,
		Example: "  anneal token new ops --role admin\n  anneal token new prometheus",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			if role != configs.RoleViewer && role != configs.RoleAdmin {
				return usage(fmt.Errorf("--role %q: want viewer or admin", role))
			}
			if strings.Trim(args[0], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") != "" || args[0] == "" {
				return usage(fmt.Errorf("name %q: want letters, digits and -_.@", args[0]))
			}
			token := "anneal_" + rand.Text() + rand.Text()
			sum := sha256.Sum256([]byte(token))
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]string{"name": args[0], "token": token, "sha256": hex.EncodeToString(sum[:]), "role": role})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "token, shown this once:\n\n    %s\n\nin the settings, under auth.tokens:\n\n    - {name: %q, sha256: %q, role: %s}\n",
				token, args[0], hex.EncodeToString(sum[:]), role)
			return nil
		},
	}
	out.flags(create)
	create.Flags().StringVar(&role, "role", configs.RoleViewer, "viewer or admin")
	c.AddCommand(create)
	return c
}
