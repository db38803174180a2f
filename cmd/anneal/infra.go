package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/configs/infra"
)

func newInfra() *cobra.Command {
	c := &cobra.Command{Use: "infra", Short: "Make what the daemon needs of AWS"}
	c.AddCommand(newInfraGenerate())
	return c
}

func newInfraGenerate() *cobra.Command {
	var path, format, on string
	var options infra.Options
	c := &cobra.Command{
		Use:   "generate [--config FILE]",
		Short: "Write a template of rules, queue, alarms and a least-privilege role",
		Long: `Write a CloudFormation template, made from the settings and policies: EventBridge rules
for what triggers match, the queue that they send to with its dead-letter queue, alarms
on failed executions and silent queues, and a role that may do what the daemon does and
nothing else. Nothing is asked of AWS.

The first sqs source of the settings is the queue that is made; others, and everything
else that the settings name, are there already. What {env: NAME} stands for is taken
from the environment, or is a parameter of the template where it is not set.

What the settings and policies leave open is said on standard error, and at the head of
the template.`,
		Example: "  anneal infra generate > anneal.cfn.yaml\n" +
			"  aws cloudformation deploy --stack-name anneal --template-file anneal.cfn.yaml --capabilities CAPABILITY_IAM",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "cloudformation" {
				return usage(fmt.Errorf("unknown format %q (have cloudformation)", format))
			}
			if have := []string{infra.ForECS, infra.ForEKS, infra.ForEC2}; !slices.Contains(have, on) {
				return usage(fmt.Errorf("unknown place %q for the daemon (have ecs, eks, ec2)", on))
			}
			cfg, err := configs.Load(path, loadOptions())
			if err != nil {
				return usage(err)
			}
			d, err := infra.Of(cfg, options)
			if err != nil {
				return usage(err)
			}
			for _, doubt := range d.Doubts {
				fmt.Fprintf(cmd.ErrOrStderr(), "anneal: %s\n", doubt)
			}
			if _, err := fmt.Fprint(cmd.OutOrStdout(), infra.Template(d, on)); err != nil {
				return broken(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", "anneal.yaml", "the settings file")
	c.Flags().StringVar(&format, "format", "cloudformation", "cloudformation")
	c.Flags().StringVar(&on, "on", infra.ForECS, "where the daemon runs: ecs, eks or ec2")
	c.Flags().StringSliceVar(&options.Buckets, "bucket", nil, "a bucket whose objects triggers take that name none; may be repeated")
	return c
}
