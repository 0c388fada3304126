package rest

// CheckTemplate parses a template.
func CheckTemplate(text string) error {
	_, err := parseTemplate(text)
	return err
}
