package dataset

import "time"

// Clock reads the date, and the time of day if there is one, that a cell was written
// with: year first, as in 2006-01-02, 2006/01/02 15:04 and 2006-01-02T15:04:05Z. The
// zone is left out: it is what the clock showed. Dates that begin with a day or a
// month are not read, as they cannot be told apart.
func Clock(cell []byte) (time.Time, bool) {
	digits := func(from, n, most int) int {
		if len(cell) < from+n {
			return -1
		}
		v := 0
		for _, c := range cell[from : from+n] {
			if c < '0' || c > '9' {
				return -1
			}
			v = 10*v + int(c-'0')
		}
		if v > most {
			return -1
		}
		return v
	}
	year, month, day := digits(0, 4, 9999), digits(5, 2, 12), digits(8, 2, 31)
	if year < 1 || month < 1 || day < 1 || cell[4] != cell[7] || cell[4] != '-' && cell[4] != '/' {
		return time.Time{}, false
	}
	hour, minute := 0, 0
	if len(cell) > 10 {
		if hour, minute = digits(11, 2, 23), digits(14, 2, 59); hour < 0 || minute < 0 || cell[10] != ' ' && cell[10] != 'T' || cell[13] != ':' {
			return time.Time{}, false
		}
	}
	return time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC), true
}
