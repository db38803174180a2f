package dataset

import (
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// parquetTick is how long a column's integers count by since 1970: 0 where they are no
// dates. Times of a day alone have no date, and stay as they are.
func parquetTick(node parquet.Node) time.Duration {
	const day = 24 * time.Hour
	if l := node.Type().LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.TimestampType:
			if l.Unit.Value != nil {
				return l.Unit.Value.Duration()
			}
		case *format.DateType:
			return day
		}
	}
	if l := node.Type().ConvertedType(); l != nil { // of older writers
		switch *l {
		case deprecated.TimestampMillis:
			return time.Millisecond
		case deprecated.TimestampMicros:
			return time.Microsecond
		case deprecated.Date:
			return day
		}
	}
	return 0
}

// julian1970 is the first of January of 1970 in days of the Julian calendar, which an
// INT96 counts by.
const julian1970 = 2440588

// at is the date of a value, if it has one: in UTC, or as the clock showed it where the
// file says that it is local.
func (c *parquetColumn) at(v parquet.Value) (time.Time, bool) {
	const day = 24 * time.Hour
	switch kind := v.Kind(); {
	case kind == parquet.Int96: // the nanoseconds of the day, and the day
		i := v.Int96()
		return time.Unix((int64(i[2])-julian1970)*int64(day/time.Second), i.Int64()).UTC(), true
	case c.tick == 0:
	case kind == parquet.Int32:
		return time.Unix(int64(v.Int32())*int64(c.tick/time.Second), 0).UTC(), true
	case kind == parquet.Int64:
		second := int64(time.Second / c.tick)
		return time.Unix(v.Int64()/second, v.Int64()%second*int64(c.tick)).UTC(), true
	}
	return time.Time{}, false
}
