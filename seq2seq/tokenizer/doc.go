// Package tokenizer is GPT-2's byte-level byte-pair encoding: text to ids and back, with the very ids of Hugging Face's
// GPT2Tokenizer.
//
// Start from [Load], which reads a Hugging Face folder, or from [GPT2], which is embedded:
//
//	tok := tokenizer.GPT2()
//	ids := tok.EncodeCaption("a zebra", 16) // BOS, the caption's ids, EOS: at most 16
//	text := tok.Decode(ids, true)           // "a zebra"
//
// Text is encoded in three steps. Added tokens such as <|endoftext|> are found and become one id each. What lies
// between them is cut into words: runs of letters, of digits, of other characters, each with the one space before it,
// English contractions, and white space. Each word becomes UTF-8 bytes, one symbol a byte, and neighbouring
// symbols are joined in the order of the merges until none applies (Sennrich et al. 2016; Radford et al. 2019).
//
// In a token's text a byte stands as a printable character: the space as "Ġ", the line feed as "Ċ". [Tokenizer.Token],
// [Tokenizer.ID] and the files use that form; Decode gives the bytes themselves.
//
// A Go string may hold invalid UTF-8, which Hugging Face's tokenizers never see. It is encoded as if each maximal
// invalid part were U+FFFD, which is what Python's bytes.decode("utf-8", errors="replace") makes of it; Decode does
// the same with ids whose bytes are no valid UTF-8. From GPT-2's vocabulary valid text comes back exactly.
package tokenizer
