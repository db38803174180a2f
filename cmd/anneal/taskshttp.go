package main

import (
	"fmt"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// connect lets tasks call HTTPS APIs, by the connections of the settings.
func (d *daemon) connect(cfg *tasks.Config, read func(configs.Secret) (string, error)) error {
	settings := d.cfg.Settings.Embedded
	cfg.Region, cfg.Hosts = settings.Region, settings.Hosts
	cfg.Connections = map[string]httptask.Settings{}
	for name, c := range settings.Connections {
		s, err := c.Settings(read)
		if err != nil {
			return fmt.Errorf("embedded.connections.%s: %w", name, err)
		}
		cfg.Connections[name] = s
	}
	return nil
}
