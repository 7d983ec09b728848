"""Whether a push will be let in, asked of the hub before anything is uploaded."""

from typing import Any

from tasks.core.errors import InputError, MachineError, hub_faults

WRITING = {"write", "admin", "contributor"}
"""Roles of a member that may add a repository to an organisation."""

TOKENS = "https://huggingface.co/settings/tokens"


def check_access(hub: Any, repository: str, private: bool) -> list[str]:
    """Ask who the token is and what stands at `repository`; return what is worth knowing before the upload.

    Raises `InputError` where the token is missing, may not write, or not there; `MachineError` where the hub does not
    answer.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalTokenNotFoundError, RepositoryNotFoundError

    try:
        me = hub.whoami()
    except LocalTokenNotFoundError:
        raise InputError(f"you have no token for the hub: set HF_TOKEN to one with write access ({TOKENS}).") from None
    except HfHubHTTPError as error:
        raise _refused(error, "the token in HF_TOKEN", f"create one with write access ({TOKENS})") from None
    except hub_faults() as error:
        raise MachineError(f"the hub at {hub.endpoint} cannot be reached: {error}.") from None
    _check_token(me, repository)
    try:
        known = hub.model_info(repository)
    except GatedRepoError:
        raise InputError(
            f"{repository} is gated, and {me['name']} has no access to it: request it at {hub.endpoint}/{repository}."
        ) from None
    except RepositoryNotFoundError:
        return [f"{repository} is new, and will be {'private' if private else 'public'}"]
    except HfHubHTTPError as error:
        raise _refused(error, repository, "check its owner's settings") from None
    notes = [f"{repository} exists already: files with the same name are replaced"]
    if private and getattr(known, "private", None) is False:
        notes.append(f"{repository} is public and stays public: everyone will see what is sent")
    if getattr(known, "gated", False):
        notes.append(f"{repository} is gated: readers must request access")
    return notes


def gated_base(hub: Any, base: dict[str, Any]) -> str:
    """What to say where the base is one of the hub that is gated; "" for others, and where nobody knows."""
    if base.get("kind") != "hub":
        return ""
    try:
        gated = hub.model_info(base["location"]).gated
    except hub_faults():
        return ""
    return f"the base {base['location']} is gated: its terms also apply to models made from it" if gated else ""


def _check_token(me: dict[str, Any], repository: str) -> None:
    """Raise `InputError` where this token may not write there, as far as the hub tells."""
    owner = repository.partition("/")[0]
    name = str(me.get("name"))
    token = (me.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise InputError(f"the token of {name} is read-only; set HF_TOKEN to one with write access ({TOKENS}).")
    roles = {str(one.get("name")): one.get("roleInOrg") for one in me.get("orgs") or []}
    if owner != name and owner not in roles:
        mine = ", ".join([name, *roles])
        raise InputError(f"{owner} is neither {name} nor an organisation of {name}; push to one of: {mine}.")
    if owner in roles and roles[owner] is not None and roles[owner] not in WRITING:
        raise InputError(
            f"{name} may only {roles[owner]} in {owner}; ask an administrator of {owner} for the role `write`."
        )
    if token.get("role") == "fineGrained" and not _granted(token.get("fineGrained") or {}, owner, repository):
        raise InputError(f"the token of {name} has no write access to {repository}; add it at {TOKENS}.")


def _granted(scopes: dict[str, Any], owner: str, repository: str) -> bool:
    if "repo.write" in (scopes.get("global") or []):
        return True
    for scope in scopes.get("scoped") or []:
        if "repo.write" in (scope.get("permissions") or []) and scope.get("entity", {}).get("name") in (
            owner,
            repository,
        ):
            return True
    return False


def _refused(error: Any, what: str, remedy: str) -> Exception:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return InputError(f"the hub rejects {what}: {' '.join(str(error).split())[:200]}; {remedy}.")
    return MachineError(f"unexpected answer of the hub: {' '.join(str(error).split())[:200]}; try again later.")
