package configs

import (
	"embed"
	"fmt"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

//go:embed schemas/*.json
var schemas embed.FS // constant

// SchemaNames are the kinds of file that [Schema] knows.
func SchemaNames() []string { return []string{"policy", "settings"} }

// Schema is the JSON Schema (draft 2020-12) of one kind of file, for editors:
// its form, its keys and their values, with their manual. What concerns several
// keys or files, and the expressions, only [Load] checks.
func Schema(name string) ([]byte, error) {
	data, err := schemas.ReadFile("schemas/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("unknown schema %q%s", name, policy.Have(name, SchemaNames()))
	}
	return []byte(strings.TrimSpace(string(data)) + "\n"), nil
}
