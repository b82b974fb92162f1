"""Trains a small model with a fine-grained router, whose traces `bench -- experts` replays.

    python bench/experts/train.py --text tales.txt code.txt --tokenizer models/tales --out fine

A Qwen3-MoE (transformers, f32, one thread) of 128 experts a layer, 8 a token, with the published
load-balancing loss (router_aux_loss_coef 0.001), on windows drawn from the texts. Prints losses
and how evenly the held-out ends of the texts use the experts. Needs torch and transformers.
"""

import argparse
import json
import math
import time

import torch
from transformers import AutoTokenizer, Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeExperts

WINDOW = 256
HELD_OUT = 20_000  # tokens at the end of each text


def experts(self, x, chosen, weights):
    """Qwen3MoeExperts.forward with each expert's rows beside each other: no mask of all experts."""
    k = chosen.shape[1]
    order = chosen.flatten().argsort()
    rows = x[order // k]
    counts = torch.bincount(chosen.flatten(), minlength=self.num_experts).tolist()
    parts = []
    # unbind, because the gradient of an index is a zero matrix of all experts
    for part, w13, w2 in zip(rows.split(counts), self.gate_up_proj.unbind(), self.down_proj.unbind()):
        gate, up = (part @ w13.T).chunk(2, dim=-1)
        parts.append((self.act_fn(gate) * up) @ w2.T)
    out = torch.cat(parts) * weights.flatten()[order, None]
    return torch.zeros_like(x).index_add(0, order // k, out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--tokens", type=float, default=6e6, help="of the learning rate's schedule")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--experts", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    Qwen3MoeExperts.forward = experts
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    texts = []
    for path in args.text:
        with open(path, encoding="utf-8") as file:
            ids = tokenizer(file.read(), add_special_tokens=False)["input_ids"]
        texts.append(torch.tensor(ids))
        print(f"{path}: {len(ids)} tokens", flush=True)
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=args.layers, head_dim=32,
        num_attention_heads=4, num_key_value_heads=2, intermediate_size=256, moe_intermediate_size=32,
        num_experts=args.experts, num_experts_per_tok=8, norm_topk_prob=True, router_aux_loss_coef=0.001,
        max_position_embeddings=2048, rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2,
    )
    model = Qwen3MoeForCausalLM(config)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1, betas=(0.9, 0.95), weight_decay=0.1)

    def batch(generator=None):
        """Windows, from each text in turn."""
        rows = []
        for i in range(args.batch):
            text = texts[i % len(texts)]
            at = int(torch.randint(len(text) - HELD_OUT - WINDOW, (1,), generator=generator))
            rows.append(text[at : at + WINDOW])
        return torch.stack(rows)

    began, step, seen, lost = time.time(), 0, 0, []
    total = args.tokens
    while True:
        # the schedule ends with the tokens or the minutes, whichever comes first
        done = max(seen / total, (time.time() - began) / (60 * args.minutes))
        if done >= 1:
            break
        rate = 3e-3 * min(1, (step + 1) / 100) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = batch()
        out = model(input_ids=ids, labels=ids, output_router_logits=True)
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + ids.numel()
        lost.append((out.loss - config.router_aux_loss_coef * out.aux_loss).item())
        if step % 50 == 0:
            recent = sum(lost[-50:]) / 50
            print(f"step {step} tokens {seen} loss {recent:.3f} aux {out.aux_loss.item():.3f} "
                  f"{time.time() - began:.0f} s", flush=True)
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    print(json.dumps({"steps": step, "tokens": seen, "seconds": round(time.time() - began), **held_out(model, texts)}))


def held_out(model, texts):
    """Loss on the end of each text, and each layer's use of experts there over that of the average."""
    losses, used, k = [], 0, model.config.num_experts_per_tok
    with torch.no_grad():
        for text in texts:
            windows = text[-HELD_OUT:].split(WINDOW)[:-1]
            out = [model(input_ids=w[None], labels=w[None], output_router_logits=True) for w in windows]
            losses.append(sum((o.loss - model.config.router_aux_loss_coef * o.aux_loss).item() for o in out) / len(out))
            for o in out:
                chosen = torch.stack([logits.topk(k).indices.flatten() for logits in o.router_logits])
                used = used + torch.nn.functional.one_hot(chosen, model.config.num_experts).sum(1)
    share = used / used.sum(1, keepdim=True) * model.config.num_experts
    return {"heldOut": [round(x, 3) for x in losses], "mostUsed": [round(x, 2) for x in share.amax(1).tolist()],
            "leastUsed": [round(x, 2) for x in share.amin(1).tolist()]}


if __name__ == "__main__":
    main()
