package infra

import "strings"

// exactly is a text of a resource, or of a condition, that means itself: IAM takes *
// and ? for any letters and ${ for the beginning of a variable, and has a variable for
// each of them. CloudFormation, which puts values in the place of ${NAME}, leaves
// ${!NAME} to IAM as ${NAME}.
//
// Source: "IAM policy elements: Variables and tags" of the IAM User Guide, "Fn::Sub" of
// the CloudFormation Template Reference.
func exactly(text string) string {
	return strings.NewReplacer("*", "${!*}", "?", "${!?}", "$", "${!$}").Replace(text)
}

// notWild does the same to a text in which ${NAME} may stand for others.
var notWild = strings.NewReplacer("*", "${!*}", "?", "${!?}")

// Sample is a resource of a [Need], or a value of its conditions, as a call could have
// it: anneal is what any letters are.
func Sample(text string) string {
	return strings.NewReplacer("${!*}", "*", "${!?}", "?", "${!$}", "$", "*", "anneal").Replace(text)
}
