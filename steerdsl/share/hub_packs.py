"""Packs on the model hub: publish one with its card, fetch one.

In: a pack and a repository's name. Out: an address, or a file. The token is huggingface_hub's own
(HF_TOKEN, or what `hf auth login` kept); it is handed to that client, and never printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import unwritable
from steerdsl.models.quiet import quiet
from steerdsl.share.pack_inputs import PACK

_HIDDEN = "(hidden)"
_TIMEOUT = 4.0


def push(pack: Path, card: str, repo: str, *, private: bool = False, message: str | None = None) -> str:
    """Commit a pack and its card in one commit, in a repository that is made if it is not there; the
    address of the page. Raises RecipeError R871 and R872."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        title = "publishing needs a token of the model hub, and there is none"
        raise RecipeError([Diagnostic("R872", title, help="run `hf auth login`, or set HF_TOKEN")], Exit.USAGE)
    api = HfApi()
    operations = [CommitOperationAdd("README.md", card.encode()), CommitOperationAdd(pack.name, pack)]
    with _explained(repo), quiet():
        api.create_repo(repo, private=private, exist_ok=True)
        try:
            api.create_commit(repo, operations, commit_message=message or f"Add {pack.name}")
        except ValueError as error:  # the client asks the hub about the card's header before it sends anything
            title = f"the hub refused the card of `{repo}`: {_reason(error)}"
            raise _failed(title, "give --license one of the hub's names, such as mit", Exit.INVALID) from error
    return f"{api.endpoint}/{repo}"


def pull(repo: str, name: str | None = None, revision: str | None = None) -> Path:
    """Fetch the pack of a repository into the hub's cache; `name` says which, where it has several.
    Raises RecipeError R871, and R873 where there is not one such pack."""
    from huggingface_hub import HfApi

    api = HfApi()
    with _explained(repo), quiet():
        files = api.model_info(repo, revision=revision, timeout=_TIMEOUT).siblings or ()
        found = sorted(f for f in (file.rfilename for file in files) if f.lower().endswith(PACK) and name in (None, f))
        if len(found) == 1:
            return Path(api.hf_hub_download(repo, found[0], revision=revision))
    title = f"`{repo}` has no pack" + (f" {name}" if name else "")
    help = "name another repository"
    if len(found) > 1:
        title, help = f"`{repo}` has {len(found)} packs: {', '.join(found)}", f"add --file {found[0]}"
    raise RecipeError([Diagnostic("R873", title, help=help)])


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Turn what the client raises into R871."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise _failed(
            f"`{repo}` has no such revision", "leave --revision out, or give a commit", Exit.INVALID
        ) from error
    except errors.GatedRepoError as error:
        raise _failed(
            f"`{repo}` is gated: its owner wants its terms accepted first", "accept them there", Exit.INVALID
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        way_out = "write owner/name; a private one needs `hf auth login`"
        raise _failed(f"there is no repository `{repo}` on the hub that you may use", way_out, Exit.INVALID) from error
    except errors.HfHubHTTPError as error:
        title = f"the hub refused `{repo}`: it answered {error.response.status_code}"
        raise _failed(title, "check that the token may write there", Exit.FAILED) from error
    except RecipeError:
        raise
    except Exception as error:  # the network library's own errors, whose names differ between versions
        refused = unwritable(error) if isinstance(error, OSError) else None
        raise refused or _failed(
            f"the hub cannot be reached: {_reason(error)}", "check the network", Exit.FAILED
        ) from error


def _reason(error: Exception) -> str:
    """An error's text in one line, the token taken out."""
    from huggingface_hub import get_token

    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(get_token() or "\0", _HIDDEN)


def _failed(title: str, help: str, exit_code: Exit) -> RecipeError:
    return RecipeError([Diagnostic("R871", title, help=help)], exit_code)
