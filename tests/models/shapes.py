"""Chat templates in the shape of those of 2026: short texts of our own with the same structure.

Out: `SHAPES`, for each family its template and the tokens that it writes; `shaped(name)`, a tiny tokenizer with both.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiny import tiny_tokenizer
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Shape:
    """special: tokens that a template writes; plain: added tokens that decoding keeps. before, after: what stands
    around the words of a question without a system prompt. end: the token that ends an answer. own: whether the
    template thinks by itself. system: whether it takes a system prompt."""

    template: str
    special: tuple[str, ...]
    before: str
    after: str
    end: str
    plain: tuple[str, ...] = ()
    own: str | None = None
    opening: str | None = ""
    system: bool = True
    bos: str = "<s>"


QWEN3 = """\
{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- elif message.role == 'assistant' %}
{%- set reasoning = '' %}{%- set content = message.content %}
{%- if '</think>' in content %}
{%- set reasoning = content.split('</think>')[0].split('<think>')[-1] %}
{%- set content = content.split('</think>')[-1] %}
{%- endif %}
{%- if loop.last or reasoning %}
{{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
{%- else %}{{- '<|im_start|>assistant\\n' + content }}{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

GEMMA3 = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
{%- set first = messages[0]['content'] + '\\n\\n' -%}{%- set rest = messages[1:] -%}
{%- else -%}{%- set first = '' -%}{%- set rest = messages -%}{%- endif -%}
{%- for message in rest -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('Roles must alternate') }}{%- endif -%}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
{{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') }}{{ message['content'] | trim -}}
{{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"""

GPT_OSS = """\
{%- set effort = reasoning_effort if reasoning_effort is defined else 'medium' -%}
{{- '<|start|>system<|message|>You are a model.\\nCurrent date: ' + strftime_now('%Y-%m-%d') }}
{{- '\\n\\nReasoning: ' + effort }}
{{- '\\n\\n# Valid channels: analysis, commentary, final.<|end|>' }}
{%- if messages[0].role in ['developer', 'system'] %}
{{- '<|start|>developer<|message|># Instructions\\n\\n' + messages[0].content + '<|end|>' }}
{%- set talk = messages[1:] %}{%- else %}{%- set talk = messages %}{%- endif %}
{%- for message in talk %}
{%- if message.role == 'assistant' %}
{{- '<|start|>assistant<|channel|>final<|message|>' + message.content }}
{%- if loop.last and not add_generation_prompt %}{{- '<|return|>' }}{%- else %}{{- '<|end|>' }}{%- endif %}
{%- else %}{{- '<|start|>user<|message|>' + message.content + '<|end|>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""

LLAMA4 = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
{{- '<|header_start|>system<|header_end|>\\n\\n' + messages[0].content|trim + '<|eot|>' }}{%- set talk = messages[1:] %}
{%- else %}{%- set talk = messages %}{%- endif %}
{%- for message in talk %}
{{- '<|header_start|>' + message.role + '<|header_end|>\\n\\n' }}
{%- if message.content is string %}{{- message.content }}
{%- else %}{%- for part in message.content %}{{- part.text }}{%- endfor %}{%- endif %}
{{- '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|header_start|>assistant<|header_end|>\\n\\n' }}{%- endif %}"""

SMOLLM3 = """\
{%- if enable_thinking is not defined %}{%- set enable_thinking = true %}{%- endif %}
{%- set mode = '/think' if enable_thinking else '/no_think' %}
{%- set said = '' %}
{%- if messages[0].role == 'system' %}
{%- if '/no_think' in messages[0].content %}{%- set mode = '/no_think' %}{%- endif %}
{%- set said = messages[0].content.replace('/no_think', '').replace('/think', '').rstrip() %}
{%- endif %}
{{- '<|im_start|>system\\n## Metadata\\nToday Date: ' + strftime_now('%d %B %Y') }}
{{- '\\nReasoning Mode: ' + mode + '\\n\\n' }}
{{- '## Custom Instructions\\n\\n' + (said or 'Be helpful.') + '\\n\\n<|im_end|>\\n' }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + ('<think>\\n\\n</think>\\n' if mode == '/no_think' else '') }}
{{- message.content.lstrip('\\n') + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' + ('<think>\\n\\n</think>\\n' if mode == '/no_think' else '') }}
{%- endif %}"""

R1 = """\
{%- set ns = namespace(system='') -%}
{%- for message in messages %}{%- if message['role'] == 'system' %}{%- set ns.system = message['content'] %}{%- endif %}
{%- endfor -%}
{{ bos_token }}{{ ns.system }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{- '<|User|>' + message['content'] }}{%- endif %}
{%- if message['role'] == 'assistant' %}
{{- '<|Assistant|>' + message['content'].split('</think>')[-1] + '</s>' }}{%- endif %}
{%- endfor -%}
{%- if add_generation_prompt %}{{- '<|Assistant|><think>\\n' }}{%- endif %}"""

MISTRAL = """\
{%- if messages[0]['role'] == 'system' %}{%- set said = messages[0]['content'] %}{%- set talk = messages[1:] %}
{%- else %}{%- set talk = messages %}{%- endif %}
{{- bos_token }}
{%- for message in talk %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Roles must alternate') }}{%- endif %}
{%- if message['role'] == 'user' %}
{{- '[INST] ' + (said + '\\n\\n' if loop.first and said is defined else '') + message['content'] + '[/INST]' }}
{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}
{%- endfor %}"""

OLMO2 = """\
{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}\
{{ '<|system|>\\n' + message['content'] + '\\n' }}\
{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '\\n' }}\
{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\\n' + message['content'] + eos_token }}\
{% if not loop.last %}{{ '\\n' }}{% endif %}{% endif %}\
{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}"""

PHI4 = """\
{% for message in messages %}{% if message['role'] in ('system', 'user', 'assistant') %}\
{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"""

# No published template: one that knows instructions under the newer name alone.
DEVELOPER = """\
{%- if messages[0].role == 'system' %}{{- raise_exception('use the developer role') }}{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

_THINK = ("<think>", "</think>")
_HARMONY = "<|start|>system<|message|>You are a model.\nCurrent date: 2024-07-26\n\nReasoning: medium"
_HARMONY += "\n\n# Valid channels: analysis, commentary, final.<|end|><|start|>user<|message|>"
_SMOL = "<|im_start|>system\n## Metadata\nToday Date: 26 July 2024\nReasoning Mode: /think\n\n"
_SMOL += "## Custom Instructions\n\nBe helpful.\n\n<|im_end|>\n<|im_start|>user\n"
_CHATML = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>")
_HEADER = ("<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>")

SHAPES = {
    "qwen3": Shape(QWEN3, (), *_CHATML, plain=_THINK, own="on", opening="<think>\n\n</think>\n\n", bos=""),
    "gemma3": Shape(
        GEMMA3,
        ("<start_of_turn>", "<end_of_turn>"),
        "<s><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
        "<end_of_turn>",
    ),
    "gpt_oss": Shape(
        GPT_OSS,
        ("<|start|>", "<|message|>", "<|end|>", "<|channel|>", "<|return|>", "<|call|>"),
        _HARMONY,
        "<|end|><|start|>assistant",
        "<|return|>",
        opening="<|channel|>final<|message|>",
        bos="",
    ),
    "llama4": Shape(
        LLAMA4,
        _HEADER,
        "<s><|header_start|>user<|header_end|>\n\n",
        "<|eot|><|header_start|>assistant<|header_end|>\n\n",
        "<|eot|>",
    ),
    "smollm3": Shape(SMOLLM3, (), _SMOL, *_CHATML[1:], plain=_THINK, own="on", bos=""),
    "deepseek_r1": Shape(
        R1,
        ("<|User|>", "<|Assistant|>"),
        "<s><|User|>",
        "<|Assistant|><think>\n",
        "</s>",
        plain=_THINK,
        own="always",
        opening=None,
    ),
    "mistral": Shape(MISTRAL, ("[INST]", "[/INST]"), "<s>[INST] ", "[/INST]", "</s>", opening=" "),
    "olmo2": Shape(OLMO2, (), "<s><|user|>\n", "\n<|assistant|>\n", "</s>"),
    "phi4": Shape(
        PHI4,
        ("<|im_sep|>",),
        "<|im_start|>user<|im_sep|>",
        "<|im_end|><|im_start|>assistant<|im_sep|>",
        "<|im_end|>",
        bos="",
    ),
    "developer": Shape(DEVELOPER, (), *_CHATML, bos=""),
}


def shaped(name: str) -> PreTrainedTokenizerFast:
    """A tiny tokenizer with the template of `name` and the tokens that it writes."""
    shape = SHAPES[name]
    tokenizer = tiny_tokenizer(shape.template)
    tokenizer.add_tokens(list(shape.plain))
    tokenizer.add_tokens(list(shape.special), special_tokens=True)
    return tokenizer
