"""Golden results of seq2seq/metrics, by pycocoevalcap 1.2 and the Java tokenizer in it (java 17).

Reads ../../seq2seq/metrics/testdata/captions.txt, captions with every awkwardness we could think of, and writes beside it
tokens.txt, a line of tokens for each, and scores.json, sets of pictures with their scores.

    python metrics.py         write the golden files
    python metrics.py N SEED  write N random captions and their tokens as JSON to standard output, for a wider comparison

Needs pycocoevalcap==1.2 and numpy==2.4.6.
"""

import json
import pathlib
import random
import sys

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

FOLDER = pathlib.Path(__file__).parents[2] / "seq2seq/metrics/testdata"

PLAIN = """a an the The A man woman dog zebra two three people standing sitting riding on in of with next to street grass
table red large parked near front kite bus""".split()
AWKWARD = """isn't don't he's they're o'clock Mr. Dr. St. U.S. a.m. etc. No. 5 10 3.5 10,000 5:30 $5 50% t-shirt
black-and-white AT&T dogs' boy's cannot gonna '90s 'n' and/or w/ J.K. inc. vs. café 3D #1 @home <unk> I'm y'all "stop"
(a) [b] :) ;) & — – … “it” ’ ° ½ € * ! !! ? . , ; : - -- 😀 STOP 4-way 1950's 1/2""".split()


def tokens(captions):
    """One list of lines, as the evaluation of a whole set sees them."""
    result = PTBTokenizer().tokenize({0: [dict(caption=c) for c in captions]})
    return result[0]


def caption(r, awkward):
    words = []
    for _ in range(r.randint(3, 13)):
        word = r.choice(AWKWARD if r.random() < awkward else PLAIN)
        if r.random() < awkward / 3:
            word += r.choice("'\".,/()!?:;-")
        words.append(word)
    return " ".join(words) + r.choice(["", ".", " .", " ", "!"])


def changed(r, reference):
    """A candidate that resembles a reference more or less."""
    words = reference.split()
    for _ in range(r.randint(0, 4)):
        i = r.randrange(len(words) + 1)
        what = r.random()
        if what < 0.4:
            words.insert(i, r.choice(PLAIN))
        elif what < 0.7 and words:
            words.pop(i % len(words))
        else:
            words = words[i:] + words[:i]
    return " ".join(words)


def pictures(r, n, awkward):
    for _ in range(n):
        references = [caption(r, awkward) for _ in range(r.randint(1, 5))]
        references += [changed(r, references[0]) or "a" for _ in range(r.randint(0, 2))]
        kind = r.random()
        if kind < 0.8:
            candidate = changed(r, r.choice(references))
        elif kind < 0.9:
            candidate = r.choice(["", "", "...", "the the the the the", "a", "  ", "!"])
        else:
            candidate = caption(r, awkward)
        yield dict(candidate=candidate, references=references)


def score(pictures):
    said = PTBTokenizer().tokenize({i: [dict(caption=p["candidate"])] for i, p in enumerate(pictures)})
    wanted = PTBTokenizer().tokenize({i: [dict(caption=c) for c in p["references"]] for i, p in enumerate(pictures)})
    bleu, bleus = Bleu(4).compute_score(wanted, said, verbose=0)
    rouge, rouges = Rouge().compute_score(wanted, said)
    cider, ciders = Cider().compute_score(wanted, said)
    each = [
        dict(bleu=[b[i] for b in bleus], rougel=float(rouges[i]), cider=float(ciders[i])) for i in range(len(pictures))
    ]
    return dict(all=dict(bleu=bleu, rougel=float(rouge), cider=float(cider)), each=each)


def main():
    if len(sys.argv) > 1:
        r = random.Random(int(sys.argv[2]))
        captions = [caption(r, r.random()) for _ in range(int(sys.argv[1]))]
        json.dump(dict(captions=captions, tokens=tokens(captions)), sys.stdout)
        return
    captions = (FOLDER / "captions.txt").read_text(encoding="utf-8").split("\n")[:-1]
    (FOLDER / "tokens.txt").write_text("\n".join(tokens(captions)) + "\n", encoding="utf-8")

    r = random.Random(0)
    sets = [list(pictures(r, n, awkward)) for n, awkward in [(1, 0), (2, 0.1), (12, 0), (120, 0.2)]]
    sets.append([dict(candidate="", references=[""]), dict(candidate="a dog", references=["", "a dog", "A dog."])])
    (FOLDER / "scores.json").write_text(
        "[\n" + ",\n".join(json.dumps(dict(pictures=s, **score(s))) for s in sets) + "\n]\n"
    )


if __name__ == "__main__":
    main()
