"""Stand-ins for wandb and trackio that record calls, with the real signatures."""

from types import SimpleNamespace


class Calls:
    """Calls of a package's functions: the name, then the keyword arguments."""

    def __init__(self):
        self.made = []

    def add(self, *call):
        self.made.append(call)

    def of(self, name):
        return [call[1] for call in self.made if call[0] == name]


def wandb(calls, *, mode="offline", logged_in=False, step=0):
    """Package like wandb 0.31; `step` is where the service says that a run continues."""

    class Run:
        def __init__(self):
            self.step = step

        def log(self, data, step=None, commit=None):
            calls.add("log", {"data": data, "step": step})

        def finish(self, exit_code=None):
            calls.add("finish", {"exit_code": exit_code})

    def setup(settings=None):
        return SimpleNamespace(settings=SimpleNamespace(mode=mode))

    def login(key=None, relogin=None, host=None, force=None, timeout=None, prompt=True):
        calls.add("login", {"prompt": prompt})
        return logged_in

    def init(
        entity=None,
        project=None,
        dir=None,
        id=None,
        name=None,
        config=None,
        resume=None,
        settings=None,
    ):
        calls.add(
            "init",
            {
                "project": project,
                "id": id,
                "name": name,
                "dir": dir,
                "resume": resume,
                "config": config,
            },
        )
        return Run()

    def settings(console=None):
        return {"console": console}

    def image(data_or_path, mode=None, caption=None):
        return "image", data_or_path

    def audio(data_or_path, sample_rate=None, caption=None):
        return "audio", data_or_path, sample_rate

    return SimpleNamespace(
        setup=setup, login=login, init=init, Settings=settings, Image=image, Audio=audio, Run=Run
    )


def trackio(calls):
    """Package like trackio 0.43."""

    class Run:
        def log(self, metrics, step=None):
            calls.add("log", {"data": metrics, "step": step})

        def finish(self):
            print("* Run finished")
            calls.add("finish", {})

    def init(project, name=None, config=None, resume="never", embed=True):
        print("* Trackio project initialized")
        calls.add("init", {"project": project, "name": name, "config": config, "resume": resume})
        return Run()

    def image(value, caption=None):
        return "image", value

    def audio(value, caption=None, sample_rate=None, format=None):
        return "audio", value, sample_rate

    return SimpleNamespace(init=init, Image=image, Audio=audio, Run=Run)
