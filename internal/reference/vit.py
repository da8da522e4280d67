"""Vision Transformers: vision/vit/testdata."""

import torch
from transformers import (
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    DeiTModel,
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
    ViTModel,
)

import common

ACTIVATIONS = ["gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu", "silu",
               "swish", "tanh", "linear"]


def states(model, x, **options):
    with torch.no_grad():
        out = model(pixel_values=x.to(model.dtype), output_hidden_states=True, **options)
    named = {f"hidden_states.{i}": h.flatten(0, 1) for i, h in enumerate(out.hidden_states)}
    return named | {"last_hidden_state": out.last_hidden_state.flatten(0, 1)}


def case(name, model, shape, seed, stored=None, **options):
    """shape is that of the pixels; stored is the model to save whole, if it is to be a true checkpoint."""
    drawn = common.weights(seed)
    common.draw(stored or model, drawn)
    x = common.pixels(name, *shape, seed)
    golden = states(model.eval(), x, **options)
    golden64 = states(common.double(model), x, **options)
    common.write(f"vision/vit/testdata/{name}", stored or model, {"pixel_values": x} | golden, None,
                 None if stored else drawn, golden64)


def mixed(name, model, sizes, seed):
    """Pictures of different sizes, one at a time; the states are packed."""
    drawn = common.weights(seed)
    common.draw(model, drawn)
    xs = {f"pixel_values.{i}": common.pixels(f"{name}.{i}", 1, 3, *size, seed) for i, size in enumerate(sizes)}
    results = []
    for m in (model, common.double(model)):
        each = [states(m, x, interpolate_pos_encoding=True) for x in xs.values()]
        results.append({key: torch.cat([one[key] for one in each]) for key in each[0]})
    common.write(f"vision/vit/testdata/{name}", model, xs | results[0], None, drawn, results[1])


def tiny(**options):
    return common.vit(**dict(hidden_size=8, num_attention_heads=2, intermediate_size=20, num_hidden_layers=1) | options)


def deit():
    return DeiTModel(deit_config(), add_pooling_layer=False)


def deit_config():
    return DeiTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=12,
                      patch_size=4, attn_implementation="eager")


def main():
    case("plain", common.vit(), (2, 3, 12, 12), 1)
    case("small_patches", common.vit(patch_size=2, image_size=6), (1, 3, 6, 6), 2)
    case("one_patch", common.vit(patch_size=7, image_size=7, num_attention_heads=1), (3, 3, 7, 7), 3)
    case("rectangle", common.vit(image_size=[12, 20], patch_size=[4, 5]), (1, 3, 12, 20), 4)
    case("remainder", common.vit(image_size=[14, 11], patch_size=4), (1, 3, 14, 11), 5)
    case("no_qkv_bias", common.vit(qkv_bias=False), (1, 3, 12, 12), 6)
    case("grey", common.vit(num_channels=1), (1, 1, 12, 12), 7)
    case("epsilon", common.vit(layer_norm_eps=0.1), (1, 3, 12, 12), 8)
    for i, (name, height, width) in enumerate([("larger", 20, 28), ("smaller", 8, 8), ("strip", 4, 36),
                                               ("ragged", 14, 17), ("much_larger", 48, 40)]):
        case("interpolated_" + name, tiny(), (1, 3, height, width), 10 + i, interpolate_pos_encoding=True)
    mixed("mixed_sizes", tiny(), [(12, 12), (20, 8), (12, 12), (5, 30)], 15)
    for i, name in enumerate(ACTIVATIONS):
        case("activation_" + name, tiny(hidden_act=name), (1, 3, 12, 12), 20 + i)
    case("deit", deit(), (2, 3, 12, 12), 40)
    case("deit_interpolated", deit(), (1, 3, 16, 24), 41, interpolate_pos_encoding=True)

    config = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=8,
                       patch_size=4, attn_implementation="eager")
    model = ViTModel(config)
    case("checkpoint_with_pooler", model, (1, 3, 8, 8), 50, stored=model)
    model = ViTForImageClassification(config)
    case("checkpoint_of_classifier", model.vit, (1, 3, 8, 8), 51, stored=model)
    model = ViTForMaskedImageModeling(config)
    case("checkpoint_with_mask_token", model.vit, (1, 3, 8, 8), 52, stored=model)
    model = DeiTForImageClassificationWithTeacher(deit_config())
    case("checkpoint_of_student", model.deit, (1, 3, 12, 12), 53, stored=model)


if __name__ == "__main__":
    main()
