package repository_test

import (
	"fmt"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

func ExampleFields_Names() {
	fmt.Println(repository.KindUpdated, (repository.FieldLabels | repository.FieldEmail).Names())
	// Output: UPDATED [email labels]
}
