package policy

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// ordered makes CEL values of Go's, with maps that are gone through in the
// order of their keys: CEL leaves it to chance, and what is decided must not
// depend on it.
type ordered struct{}

func (o ordered) NativeToValue(value any) ref.Val {
	switch value := value.(type) {
	case map[string]any:
		return orderedMap{types.NewStringInterfaceMap(o, value)}
	case map[string]float64:
		return orderedMap{types.NewDynamicMap(o, value)}
	case []any, []map[string]any:
		return types.NewDynamicList(o, value)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

type orderedMap struct{ traits.Mapper }

func (m orderedMap) Iterator() traits.Iterator {
	var keys []string
	for it := m.Mapper.Iterator(); it.HasNext() == types.True; {
		key, _ := it.Next().(types.String) // the maps above have no others
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	return types.NewStringList(types.DefaultTypeAdapter, keys).Iterator()
}

// unordered is a loop over a map that the expression itself writes, whose
// order could not be kept; nil if there is none.
func unordered(e ast.Expr) (loop ast.Expr) {
	writesMap := func(e ast.Expr) (found bool) {
		ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) { found = found || x.Kind() == ast.MapKind }))
		return found
	}
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		if loop == nil && x.Kind() == ast.ComprehensionKind && writesMap(x.AsComprehension().IterRange()) {
			loop = x
		}
	}))
	return loop
}
