package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/policy"
)

func newCheck() *cobra.Command {
	var file, format string
	c := &cobra.Command{
		Use:   "check [--config FILE] [POLICY…]",
		Short: "Prove settings, policies and state machines before serving",
		Long: `Check everything that can be known before serving: settings, policies (unknown names,
types, expressions), state machines with the flow of their data from the input that a
policy gives, what AWS would refuse of what they send, and resources that nothing is
configured to run. With POLICY files or folders, those policies alone, without settings.

All problems are reported at once, each with file, line, column and what would be
right. Exit status 1 if one is an error; 0 if there are warnings alone.`,
		Example: "  anneal check\n  anneal check --config anneal.yaml\n  anneal check policies/",
		RunE: func(cmd *cobra.Command, paths []string) error {
			// What is wrong with a state machine whatever its input, which does not
			// keep the rest from being looked at.
			var machines asl.Problems
			options := loadOptions()
			options.CheckMachine = func(file string, definition []byte) []configs.Problem {
				machines = append(machines, flow.Check(definition, file, flow.Options{Services: services(nil), Strict: true})...)
				return nil
			}
			cfg, err := loadWith(options, file, cmd.Flags().Changed("config"), paths)
			var problems configs.Problems
			switch {
			case errors.As(err, &problems):
				return report(cmd, format, merged(problems, machines), "")
			case err != nil:
				return usage(err)
			}
			if len(paths) == 0 {
				problems = unmapped(cfg, false)
				if len(cfg.Policies) == 0 {
					problems = append(problems, configs.Problem{File: cfg.File, Message: "there is no policy, so nothing is ever decided: write one into a file or folder of policies", Warning: true})
				}
			}
			sound := fmt.Sprintf("sound: %s, %s", plural(len(cfg.Policies), "policy", "policies"), count(len(cfg.Machines), "state machine"))
			if format == "text" {
				lines := ""
				for _, n := range cfg.Notes {
					lines += fmt.Sprintf("%s:%d: note: %s, and serve will need it\n", n.File, n.Line, n.Message)
				}
				for _, p := range cfg.Policies {
					lines += fmt.Sprintf("policy %s: %s, %s for model %s, %s\n", p.Name(), p.Spec.Spec.Mode,
						count(len(p.Spec.Spec.Rules), "rule"), p.Spec.Spec.Model.Group, count(len(p.Spec.Spec.Triggers), "trigger"))
				}
				sound = lines + sound
			}
			return report(cmd, format, merged(append(problems, cfg.Warnings...), checkMachines(cfg, len(cfg.Policies))), sound)
		},
	}
	c.Flags().StringVar(&file, "config", "anneal.yaml", "the settings file")
	c.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return c
}

// loadForCheck loads what is to be checked.
func loadForCheck(file string, named bool, paths []string) (*configs.Config, error) {
	return loadWith(loadOptions(), file, named, paths)
}

// noSettings says where settings come from, to who has named none.
func noSettings(err error, named bool) error {
	if named {
		return err
	}
	return fmt.Errorf("%w: name the settings with --config, or begin with those of `anneal demo --dir DIR`", err)
}

func loadWith(options configs.Options, file string, named bool, paths []string) (*configs.Config, error) {
	if len(paths) > 0 && named {
		return nil, errors.New("check takes --config FILE or POLICY files, not both")
	}
	read := paths
	if len(paths) == 0 {
		read = []string{file}
	}
	for _, path := range read {
		if _, err := os.Stat(path); err != nil {
			if len(paths) == 0 {
				err = noSettings(err, named)
			}
			return nil, err // nothing to check: not a problem of the configuration
		}
	}
	options.Warnings = true
	if len(paths) > 0 {
		return configs.LoadPolicies(paths, options)
	}
	return configs.Load(file, options)
}

// loadOptions has each state machine parsed as it is loaded.
func loadOptions() configs.Options {
	return configs.Options{States: taskStates, CheckMachine: func(file string, definition []byte) []configs.Problem {
		_, err := asl.Parse(definition, file)
		var found asl.Problems
		if err == nil || !errors.As(err, &found) {
			return nil
		}
		var problems []configs.Problem
		for _, p := range found {
			if p.Severity == asl.SeverityError {
				problems = append(problems, configs.Problem{File: p.File, Line: p.Line, Column: p.Column, Message: strings.TrimPrefix(p.Pointer+": ", ": ") + p.Message})
			}
		}
		return problems
	}}
}

// taskStates lists the tasks of a state machine, nil where it has problems.
func taskStates(definition []byte) (tasks []string) {
	m, err := asl.Parse(definition, "")
	if err != nil {
		return nil
	}
	tasks = []string{}
	for _, name := range m.Names() {
		if m.Type(name) == asl.TypeTask {
			tasks = append(tasks, name)
		}
	}
	return tasks
}

// unread stands for a secret, which is not read to see what is mapped.
func unread(configs.Secret) (string, error) { return "http://localhost", nil }

func discarded() *slog.Logger { return slog.New(slog.DiscardHandler) }

// checkResources finds the resources of the state machines that nothing is
// configured to run, and the parameters that are required and not sent.
func checkResources(cfg *configs.Config) configs.Problems { return unmapped(cfg, true) }

// unmapped is [checkResources], with the parameters that are missing or without.
func unmapped(cfg *configs.Config, missing bool) configs.Problems {
	d := &daemon{cfg: cfg, log: discarded()}
	d.generation.take(cfg)
	t, err := d.newTasks(nil, unread)
	if err != nil {
		return configs.Problems{{File: cfg.File, Message: err.Error()}}
	}
	here := map[string]bool{} // by file; AWS has all there is to call for the others
	for _, p := range cfg.Policies {
		here[p.Machine] = here[p.Machine] || !onAWS(p)
	}
	for _, file := range cfg.Settings.Embedded.StateMachines {
		here[string(file)] = true
	}
	var problems configs.Problems
	for _, name := range sortedKeys(cfg.Machines) {
		if !here[name] {
			continue
		}
		machine := cfg.Machines[name]
		m, err := asl.Parse(machine.Definition, machine.File)
		if err != nil {
			continue // reported as it was loaded
		}
		for _, r := range m.Resources() {
			if err := t.Check(r); err != nil && (missing || !errors.Is(err, tasks.ErrMissing)) {
				problems = append(problems, configs.Problem{File: machine.File, Line: r.Line, Column: r.Column, Message: err.Error()})
			}
		}
	}
	return problems
}

// onAWS reports whether a policy's runs are on Step Functions.
func onAWS(p configs.Policy) bool {
	run := p.Spec.Spec.Run
	return run != nil && run.Executor == policy.ExecutorStepFunctions
}

func count(n int, noun string) string { return plural(n, noun, noun+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
