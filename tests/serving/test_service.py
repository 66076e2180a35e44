"""Loading bundles into a service in this process, whoever asks and however it ends."""

import asyncio
import threading

import pytest

from cxr.contracts.bundle import BUNDLE_FILE, MODEL_CARD_FILE, BundleManifest, read_bundle
from cxr.contracts.files import file_digest, read_json, write_json
from cxr.serving import loaded as loaded_module
from cxr.serving import service as service_module
from cxr.serving.caller import CALLER, Caller
from cxr.serving.journal import Journal
from cxr.serving.loaded import LoadedBundle
from cxr.serving.problems import Problem
from support.audit_trail import until
from support.trail import events_of, report_of

LONG = 30.0
ASKED = Caller(request_id="request-1", key_id="0123456789ab", protocol="rest")


class Gate:
    """That every bundle waits at before it is opened."""

    def __init__(self):
        self.opened, self.reached = threading.Event(), threading.Semaphore(0)
        self.inside, self.most = 0, 0

    def load(self, *given):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.reached.release()
        assert self.opened.wait(LONG)
        self.inside -= 1
        return LoadedBundle(*given)

    async def passed_by(self, task):
        """Once the load that a task asked for has begun."""
        assert await asyncio.to_thread(self.reached.acquire, timeout=LONG)
        assert not task.done()


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    monkeypatch.setattr(service_module, "LoadedBundle", gate.load)
    return gate


@pytest.fixture
def bundle(phantom_run, tmp_path):
    """A copy of the bundle that a test may change, or replace under its name."""
    return phantom_run.other_bundle(tmp_path / "bundle")


@pytest.fixture
def loaded(make_service, bundle):
    """Run a test's coroutine with a service that answers with `bundle`."""

    async def within(test):
        service = make_service(bundle=bundle, threads=1)
        try:
            await service.load()
            return await test(service)
        finally:
            await service.close()

    return lambda test: asyncio.run(within(test))


def replace(bundle):
    """Put another bundle in the place of one; its digest."""
    change(bundle, MODEL_CARD_FILE, (bundle / MODEL_CARD_FILE).read_bytes() + b"\nYet another version.\n")
    return read_bundle(bundle).digest


def change(bundle, name, content):
    """Change a file of a bundle, and the digest that the manifest has of it."""
    (bundle / name).write_bytes(content)
    manifest = read_json(bundle / BUNDLE_FILE, BundleManifest)
    manifest.files[name] = file_digest(bundle / name)
    write_json(bundle / BUNDLE_FILE, manifest)


def reloads(service):
    (metric,) = service.metrics.reloads.collect()
    return {sample.labels["outcome"]: sample.value for sample in metric.samples if sample.name.endswith("_total")}


def changes(service):
    """Of the model, as the trail has them: what happened, and the digest or the code."""
    events = [event for event in events_of(service.settings.state) if event["kind"] == "model"]
    return [(event["action"], event["bundle"] or event["code"]) for event in events]


def test_both_outcomes_of_a_reload_are_counted_from_the_start(make_service):
    service = make_service()
    assert reloads(service) == {"loaded": 0, "failed": 0}
    asyncio.run(service.close())


def test_a_load_goes_on_when_the_request_that_asked_for_it_is_gone(make_service, bundle, gate):
    async def ask():
        service = make_service(bundle=bundle, threads=1)
        CALLER.set(ASKED)
        asking = asyncio.create_task(service.reload())
        await gate.passed_by(asking)
        asking.cancel()
        await asyncio.wait({asking})
        gate.opened.set()
        await asyncio.to_thread(until, lambda: service.ready)
        answering = service.loaded.bundle.digest
        await service.close()
        return service, answering

    service, answering = asyncio.run(ask())
    assert changes(service) == [("loaded", answering)]
    assert reloads(service) == {"loaded": 1, "failed": 0}
    (recorded,) = [event for event in events_of(service.settings.state) if event["kind"] == "model"]
    assert (recorded["request_id"], recorded["key_id"]) == (ASKED.request_id, ASKED.key_id)


def test_a_load_that_fails_after_its_caller_is_gone_is_logged_and_recorded(make_service, gate, caplog):
    async def ask():
        service = make_service()
        asking = asyncio.create_task(service.reload())
        await gate.passed_by(asking)
        asking.cancel()
        await asyncio.wait({asking})
        gate.opened.set()
        await asyncio.to_thread(until, lambda: changes(service))
        await service.close()
        return service

    assert changes(asyncio.run(ask())) == [("refused", "BundleError")]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["the bundle cannot be used"]


def test_bundles_are_loaded_one_at_a_time_and_not_for_a_caller_who_left_the_queue(make_service, bundle, gate):
    async def ask():
        service = make_service(bundle=bundle, threads=1)
        asking = [asyncio.create_task(service.reload()) for _ in range(3)]
        await gate.passed_by(asking[0])
        asking[1].cancel()
        await asyncio.wait({asking[1]})
        gate.opened.set()
        digests = [await asking[place] for place in (0, 2)]
        await service.close()
        return service, digests

    service, digests = asyncio.run(ask())
    assert gate.most == 1
    assert changes(service) == [("loaded", digest) for digest in digests]


def test_a_load_that_is_under_way_does_not_hold_up_the_end_nor_stand_in_the_trail(make_service, bundle, gate):
    async def ask():
        service = make_service(bundle=bundle, threads=1)
        asking = asyncio.create_task(service.reload())
        await gate.passed_by(asking)
        await service.close()
        gate.opened.set()
        await asyncio.wait({asking})
        return service

    service = asyncio.run(ask())
    assert changes(service) == []
    assert not report_of(service.settings.state).problems


def not_text(bundle, _monkeypatch):
    change(bundle, MODEL_CARD_FILE, b"\xff\xfe card")


def not_json(bundle, _monkeypatch):
    change(bundle, "reports/recipe.json", b"{")


def vanishing(bundle, monkeypatch):
    def read_and_remove(folder):
        found = read_bundle(folder)
        (folder / MODEL_CARD_FILE).unlink()
        return found

    monkeypatch.setattr(loaded_module, "read_bundle", read_and_remove)


def cut_short(bundle, _monkeypatch):
    (bundle / "model.onnx").write_bytes(b"spoilt")


@pytest.mark.parametrize("spoil", [not_text, not_json, vanishing, cut_short])
def test_a_bundle_that_cannot_be_used_is_409_counted_and_recorded_and_the_old_one_stays(
    loaded, bundle, spoil, monkeypatch
):
    async def ask(service):
        before = service.loaded
        spoil(bundle, monkeypatch)
        with pytest.raises(Problem) as raised:
            await service.reload()
        assert service.loaded is before
        return service, raised.value, before.bundle.digest

    service, problem, digest = loaded(ask)
    assert (problem.code, problem.status) == ("bundle_refused", 409)
    assert reloads(service) == {"loaded": 1, "failed": 1}
    assert changes(service) == [("loaded", digest), ("refused", "BundleError")]


def test_a_defect_in_loading_is_a_problem_too_counted_and_recorded(loaded, monkeypatch):
    def broken(*_given):
        raise ZeroDivisionError("DOE^JOHN")

    async def ask(service):
        monkeypatch.setattr(service_module, "LoadedBundle", broken)
        with pytest.raises(Problem) as raised:
            await service.reload()
        return service, raised.value, service.loaded.bundle.digest

    service, problem, digest = loaded(ask)
    assert (problem.code, problem.status) == ("internal", 500)
    assert reloads(service) == {"loaded": 1, "failed": 1}
    assert changes(service) == [("loaded", digest), ("refused", "ZeroDivisionError")]


def test_a_bundle_that_cannot_be_recorded_does_not_answer_and_is_let_go(loaded, bundle, monkeypatch):
    retired, retire = [], LoadedBundle.retire

    async def unwritable(_journal, _terms):
        raise Problem("audit_unavailable", 503, "the audit trail cannot be written", "Tell the operator.")

    async def noted(unused):
        retired.append(unused.bundle.digest)
        await retire(unused)

    async def ask(service):
        before, after = service.loaded, replace(bundle)
        monkeypatch.setattr(Journal, "model_loaded", unwritable)
        monkeypatch.setattr(LoadedBundle, "retire", noted)
        with pytest.raises(Problem, match="audit_unavailable"):
            await service.reload()
        assert retired == [after]
        assert service.loaded is before
        return service

    assert reloads(loaded(ask)) == {"loaded": 1, "failed": 1}


def test_a_new_bundle_answers_and_the_trail_has_both(loaded, bundle):
    async def ask(service):
        before, after = service.loaded.bundle.digest, replace(bundle)
        assert await service.reload() == after == service.loaded.bundle.digest
        return service, [before, after]

    service, digests = loaded(ask)
    assert changes(service) == [("loaded", digest) for digest in digests]
