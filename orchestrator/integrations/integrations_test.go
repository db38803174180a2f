package integrations

import "testing"

// TestModels compiles what the models hold.
func TestModels(t *testing.T) {
	for name, m := range models() {
		for of, s := range m.Shapes {
			for member, of := range s.Members {
				if of != "" && m.Shapes[of] == nil {
					t.Errorf("%s: %s.%s is of the type %s, which is not there", name, of, member, of)
				}
			}
			if s.Of != "" && m.Shapes[s.Of] == nil {
				t.Errorf("%s: %s is of %s, which is not there", name, of, s.Of)
			}
		}
		for action := range m.Operations {
			if _, ok := services()[name][action]; !ok && m.Actions == nil {
				t.Errorf("%s: %s is no action of the integration", name, action)
			}
		}
	}
}
