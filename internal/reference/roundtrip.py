"""Loads a folder that the Go code saved, as transformers does, and compares what it computes with what Go computed.

    go test ./seq2seq -run Saved -args -save /ABSOLUTE/DIR
    python roundtrip.py /ABSOLUTE/DIR
    go test ./seq2seq -run Folded -args -save /ABSOLUTE/OTHER
    python roundtrip.py /ABSOLUTE/OTHER/gated      # or layer_scale

It fails if a key is missing or too many, if transformers warns of anything, if a caption differs, or if a logit is off by
more than 1e-5 of the largest. Beside the checkpoint DIR has go.json, which Go wrote: for pictures (file names in DIR) the captions that greedy search
gives, the token ids that the decoder is fed and the logits that follow them.
"""

import json
import logging
import sys

import numpy as np
import torch
from PIL import Image

import common
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel
from transformers.utils import logging as transformers_logging


class Warnings(logging.Handler):
    """Keeps what transformers logs."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def main(folder):
    warnings = Warnings()
    transformers_logging.set_verbosity_warning()
    transformers_logging.add_handler(warnings)
    model, info = VisionEncoderDecoderModel.from_pretrained(folder, output_loading_info=True)
    # The pooler is not used, and only there if the model had one when it was loaded.
    found = {k: [str(x) for x in v if ".pooler." not in str(x)] for k, v in info.items()}
    if any(found.values()):
        sys.exit(f"the keys do not fit: {found}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    if warnings.messages:
        sys.exit(f"loading is not silent: {warnings.messages}")
    print("The keys fit, without a warning.")
    with open(f"{folder}/go.json") as f:
        go = json.load(f)
    x = processor([Image.open(f"{folder}/{name}") for name in go["pictures"]], return_tensors="pt").pixel_values
    worst, equal = 0.0, 0
    ids = model.generate(x, do_sample=False, num_beams=1, max_new_tokens=go["max_new_tokens"])
    captions = [c.strip() for c in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    for name, ours, theirs in zip(go["pictures"], go["captions"], captions):
        print(f"{name}: {theirs!r}" + ("" if ours == theirs else f", but Go says {ours!r}"))
        equal += ours == theirs
    for i, sequence in enumerate(go["input_ids"]):
        with torch.no_grad():
            logits = model(pixel_values=x[i:i + 1], decoder_input_ids=torch.tensor([sequence])).logits[0].numpy()
        off = common.relative(np.reshape(go["logits"][i], logits.shape), logits)
        print(f"{go['pictures'][i]}: logits off by {off:.1e} of the largest")
        worst = max(worst, off)
    print("\n| keys | warnings | captions | logits: off by |\n| --- | --- | --- | --: |")
    print(f"| fit | none | {equal} of {len(captions)} equal | {worst:.1e} |")
    sys.exit(equal < len(captions) or not worst < 1e-5)


if __name__ == "__main__":
    main(sys.argv[1])
