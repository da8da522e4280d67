package tokenizer_test

import (
	"fmt"

	"github.com/ekphrasis-ml/ekphrasis/seq2seq/tokenizer"
)

func Example() {
	tok := tokenizer.GPT2()
	ids := tok.EncodeCaption("a zebra standing", 16)
	for _, id := range ids {
		fmt.Printf("%d %s\n", id, tok.Token(id))
	}
	fmt.Println(tok.Decode(ids, true))
	// Output:
	// 50256 <|endoftext|>
	// 64 a
	// 1976 Ġz
	// 37052 ebra
	// 5055 Ġstanding
	// 50256 <|endoftext|>
	// a zebra standing
}

func ExampleTokenizer_Cut() {
	tok, err := tokenizer.GPT2().Cut(4096)
	if err != nil {
		panic(err)
	}
	fmt.Println(tok.VocabSize(), tok.EOS(), tok.Encode(" the zebra"))
	// Output:
	// 4096 4095 [262 1976 1765 430]
}

func ExampleTokenizer_Stream() {
	tok := tokenizer.GPT2()
	stream := tok.Stream(true)
	for _, id := range tok.Encode("a 🚒!") {
		fmt.Printf("%q ", stream.Add(id))
	}
	fmt.Printf("%q\n", stream.Close())
	// Output:
	// "a" " " "" "🚒" "!" ""
}

func ExampleCharacters() {
	tok, err := tokenizer.Characters("abcdefghijklmnopqrstuvwxyz ")
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := tok.EncodeCaption("a zebra", 0)
	fmt.Println(ids, tok.Decode(ids, true))
	// Output: [27 0 26 25 4 1 17 0 27] a zebra
}
