package interactive

// A style says how text is emphasized: with the terminal's own colors, which the person has
// chosen for a dark or a light background, or not at all.
type style struct{ color bool }

func (s style) sgr(code, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[m"
}

func (s style) dim(text string) string  { return s.sgr("2", text) }
func (s style) bold(text string) string { return s.sgr("1", text) }
func (s style) bad(text string) string  { return s.sgr("31", text) }
func (s style) good(text string) string { return s.sgr("36", text) }
func (s style) bar(text string) string  { return s.sgr("36", text) }
