// Package dataset reads rows as a stream: CSV of RFC 4180, JSON Lines and
// Parquet, each by extension (.csv, .jsonl, .ndjson, .parquet), and gzip and zstd
// by a further one (.gz, .zst).
//
// It promises bounded memory whatever comes in (a batch of rows and one record
// of at most [Options.MaxRecord] bytes), and a rule and a count for every
// irregularity:
//
//   - A UTF-8 byte order mark is dropped; lines end in LF or CRLF; the last
//     one may lack its end.
//   - A field that begins with a quote ends at the next single quote and may
//     hold commas, line ends and doubled quotes. Quotes elsewhere, and text
//     after the closing one, are taken as they stand and counted
//     ([Counts.Quotes]).
//   - Spaces around a field are dropped.
//   - A blank line is skipped and counted ([Counts.Blank]), also where there
//     is only one column: a missing value is written `""` or NA there.
//   - A row with more or fewer fields than the header is skipped and counted
//     ([Counts.Ragged]).
//   - These spell a missing value, in any case, quoted or not: the empty
//     field, NA, N/A, #N/A, <NA>, NaN, -NaN, null, NULL, nil, None, NULL in
//     MySQL's spelling \N, a lone -, and a lone ?.
//   - Digits that begin with a zero, as in 007, are an identifier and no number, but
//     in a column whose type people gave as numeric.
//   - inf, infinity and numbers beyond float64 are infinite.
//   - Bytes that are not UTF-8, as of Latin-1, are replaced by U+FFFD and their
//     fields counted ([Counts.NotUTF8]). UTF-16 is refused.
//   - A column without a name is called column_N, N from 1.
//
// Of JSON Lines:
//
//   - The columns are the members of the first 1,024 rows, in the order in which
//     they come. Members of other names are skipped and counted
//     ([Counts.Members]).
//   - An object within an object gives columns named with a point, as in
//     address.city. An array is text.
//   - null is a missing value, and so is what spells one in a string. A member
//     that is not there is missing. true and false are categories. NaN and
//     Infinity may stand for numbers, as Python writes them.
//   - A line that is no object is skipped and counted ([Counts.Ragged]).
//
// Of Parquet: groups as objects within objects; a list or a map is text, as JSON writes
// it, with all that lies within it, up to [Options.MaxRecord] bytes. Any other column is
// of the type that the file says, text of categories or dates. Dates and timestamps are
// given as in 2006-01-02T15:04:05. Decimals, unsigned integers and half floats are
// numbers, and a UUID is text as it is written. A file that is not on a disk is first
// copied to one. A page is in memory whole, so one of more than 64 MiB or 8,388,608
// values is refused.
//
// What cannot be read at all is an [*Error]: an empty file, a file that is not
// text, two columns of one name, an unfinished or unreasonable gzip stream, a
// record beyond the limit. Any other error comes from the source itself and
// may pass.
//
// A column's [Type] is given, or inferred from the first batch where it has
// values: see [Reader.Read].
package dataset
