"""Custom resources that a step creates and waits for: created or joined, watched to their end, deleted.

A step that was killed finds its object again by the name, and knows it for its own by the identity that it carries.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from cxr.errors import ClusterError, CxrError

logger = logging.getLogger(__name__)

IDENTITY = "cxr/identity"
"""Annotation: digest of everything that makes the object, by which a second caller knows it for its own."""

_ATTEMPTS = 5
_GONE, _CONFLICT, _NOT_FOUND = 410, 409, 404
_TRANSIENT = (429, 500, 502, 503, 504)
_WATCH_SECONDS = 300
_REQUEST_SECONDS = 60
_DELETION_SECONDS = 300.0
_HINTS = {401: "log in to the cluster"}

Found = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of custom resource.

    Attributes:
        group, version, plural: of the API.
        noun: what an object of it is, for messages.
        error: class of the errors that are about an object and not about the cluster.
        hints: HTTP status to what to do about it.
    """

    group: str
    version: str
    plural: str
    noun: str
    error: type[CxrError]
    hints: Mapping[int, str] = field(default_factory=dict)


class CustomObjects:
    """The objects of one kind in one namespace.

    Args:
        api: connection to the cluster.
        namespace: of the objects.
        kind: of the objects.
        pause: seconds before a request that failed is made again, doubled every time.

    Raises:
        ClusterError: from every method, when the cluster cannot be reached or refuses.
    """

    def __init__(self, api: client.ApiClient, namespace: str, kind: Kind, *, pause: float = 1.0) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._namespace = namespace
        self._kind = kind
        self._pause = pause

    def create(self, manifest: Mapping[str, Any], *, deletion_seconds: float = _DELETION_SECONDS) -> Found:
        """Create an object, or join the one of its name and identity; returns it.

        One that is being deleted is waited for, so that a step that is run again at once need not fail.

        Raises:
            CxrError: of the kind's class: another object has the name, or it is not deleted in time.
        """
        kind, name = self._kind, str(manifest["metadata"]["name"])
        deadline = time.monotonic() + deletion_seconds
        request = self._objects.create_namespaced_custom_object
        while True:
            created: Found | None = self._ask(request, dict(manifest), unless=_CONFLICT)
            if created is not None:
                logger.info("created the %s %s in %s", kind.noun, name, self._namespace)
                return created
            there = self.find(name)
            if there is not None and not there["metadata"].get("deletionTimestamp"):
                break
            if time.monotonic() > deadline:
                raise kind.error(
                    f"the {kind.noun} {name} is being deleted and must be gone, is still there after "
                    f"{deletion_seconds:g} s; see what holds it, and run again"
                )
            time.sleep(self._pause)
        annotations = there["metadata"].get("annotations") or {}
        if annotations.get(IDENTITY) != manifest["metadata"]["annotations"][IDENTITY]:
            raise kind.error(
                f"the name {name} must be free or belong to the same {kind.noun}, belongs to another one in "
                f"{self._namespace}; wait for that one to end, or delete it"
            )
        logger.info("joined the %s %s in %s", kind.noun, name, self._namespace)
        return there

    def find(self, name: str) -> Found | None:
        """An object as the cluster holds it; None when there is none."""
        found: Found | None = self._ask(self._objects.get_namespaced_custom_object, name, unless=_NOT_FOUND)
        return found

    def states(self, name: str, deadline: float) -> Iterator[Found]:
        """An object now and after every change, until the deadline.

        Args:
            name: of the object.
            deadline: on the clock of `time.monotonic`.

        Raises:
            CxrError: of the kind's class: the object is gone.
        """
        while True:
            found = self.find(name)
            if found is None:
                raise self._deleted(name)
            yield found
            left = deadline - time.monotonic()
            if left <= 0:
                return
            seconds = max(1, round(min(left, _WATCH_SECONDS)))
            for event in self._events(name, found["metadata"]["resourceVersion"], seconds):
                if event["type"] == "DELETED":
                    raise self._deleted(name)
                yield event["object"]
            time.sleep(min(self._pause, max(0.0, deadline - time.monotonic())))

    def select(self, plural: str, selector: str) -> list[Found]:
        """Objects of the group that the selector fits, e.g. those that this kind's objects make."""
        found = self._ask(self._objects.list_namespaced_custom_object, plural=plural, label_selector=selector)
        return list(found["items"])

    def replace(self, manifest: Mapping[str, Any], *, manager: str) -> Found | None:
        """Replace an object by another version of it; None when it has changed since it was read.

        Args:
            manifest: with the resource version that it was read at.
            manager: name of who changes it, which the cluster notes beside every field.
        """
        found: Found | None = self._ask(
            self._objects.replace_namespaced_custom_object,
            str(manifest["metadata"]["name"]),
            dict(manifest),
            field_manager=manager,
            unless=_CONFLICT,
        )
        return found

    def delete(self, name: str) -> None:
        """Delete an object with everything that it made; nothing happens when it is gone."""
        request = self._objects.delete_namespaced_custom_object
        self._ask(request, name, propagation_policy="Foreground", unless=_NOT_FOUND)

    def _events(self, name: str, version: str, seconds: int) -> Iterator[dict[str, Any]]:
        """Changes of an object after one of its versions; ends when the cluster drops the watch or the version."""
        kind = self._kind
        with self._errors():
            try:
                yield from watch.Watch().stream(
                    self._objects.list_namespaced_custom_object,
                    kind.group,
                    kind.version,
                    self._namespace,
                    kind.plural,
                    field_selector=f"metadata.name={name}",
                    resource_version=version,
                    timeout_seconds=seconds,
                    _request_timeout=(10, seconds + 10),
                )
            except ApiException as error:
                if error.status not in (_GONE, *_TRANSIENT):
                    raise
                logger.info("the watch of %s ended (%s %s) and begins again", name, error.status, error.reason)
            except HTTPError as error:
                logger.info("the watch of %s was cut off (%s) and begins again", name, error)

    def _ask(
        self, request: Callable[..., Any], *arguments: Any, plural: str = "", unless: int = 0, **given: Any
    ) -> Any:
        """The answer to a request, made again while the cluster is busy or silent; None for the status `unless`."""
        kind = self._kind
        where = (kind.group, kind.version, self._namespace, plural or kind.plural)
        with self._errors():
            for attempt in itertools.count(1):
                try:
                    return request(*where, *arguments, _request_timeout=_REQUEST_SECONDS, **given)
                except (ApiException, HTTPError) as error:
                    status = error.status if isinstance(error, ApiException) else None
                    if status is not None and status == unless:
                        return None
                    if status not in (None, *_TRANSIENT) or attempt == _ATTEMPTS:
                        raise
                    time.sleep(self._pause * 2 ** (attempt - 1))

    def _deleted(self, name: str) -> CxrError:
        kind = self._kind
        return kind.error(f"the {kind.noun} {name} must not be deleted from {self._namespace} while it is awaited, was")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise refusal(error, self._kind.hints) from error
        except HTTPError as error:
            raise ClusterError(f"the cluster must answer, does not: {error}") from error


def refusal(error: ApiException, hints: Mapping[int, str]) -> ClusterError:
    """What the cluster said no to, with what to do about it."""
    said = " ".join(str(error.body or "").split())[:300]
    hint = hints.get(error.status) or _HINTS.get(error.status)
    words = f"the cluster refuses: {error.status} {error.reason}{f'; {hint}' if hint else ''} {said}"
    return ClusterError(words.strip())
