package main

import (
	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema policy|settings",
		Short: "Print the JSON Schema of policies or settings, for editors",
		Long: `Print the JSON Schema of policy files or of the daemon's own file. Editors complete
and check by it as one types: with yaml-language-server, write into the file
  # yaml-language-server: $schema=anneal-policy.json
anneal check finds all that the schema finds, and what it cannot say.`,
		Example:   "  anneal schema policy > anneal-policy.json\n  anneal schema settings > anneal-settings.json",
		Args:      cobra.ExactArgs(1),
		ValidArgs: configs.SchemaNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			schema, err := configs.Schema(args[0])
			if err != nil {
				return usage(err)
			}
			_, err = cmd.OutOrStdout().Write(schema)
			return err
		},
	}
}
