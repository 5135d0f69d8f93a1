// What a script finds different from plain JavaScript. Called once in each new context, before the script,
// with the call's time, a source of numbers, the log and the variables that scripts cannot change.
(function (now, random, say, fixed) {
    'use strict';
    const hide = (object, name, value) =>
        Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });

    // The same again after a crash: there is no time but the call's, and no chance but the seed's.
    const Native = Date;
    const construct = Reflect.construct;
    const Seeded = function Date(...args) {
        if (new.target === undefined) {
            return new Native(now).toString();
        }
        return construct(Native, args.length === 0 ? [now] : args, new.target);
    };
    Object.defineProperty(Seeded, 'length', { value: 7 });
    Object.defineProperty(Seeded, 'prototype', { value: Native.prototype, writable: false });
    hide(Seeded, 'now', function () { return now; });
    hide(Seeded, 'parse', Native.parse);
    hide(Seeded, 'UTC', Native.UTC);
    hide(Native.prototype, 'constructor', Seeded);
    hide(globalThis, 'Date', Seeded);
    hide(Math, 'random', random);

    // No text becomes code: what the analysis of a script has not seen does not run.
    const off = (name, prototype) => {
        const refuse = function () { throw new EvalError('`' + name + '` is off in scripts'); };
        Object.defineProperty(refuse, 'name', { value: name });
        if (prototype) {
            Object.defineProperty(refuse, 'prototype', { value: prototype });
            Object.defineProperty(prototype, 'constructor', { value: refuse, writable: false, configurable: false });
        }
        return refuse;
    };
    hide(globalThis, 'eval', off('eval'));
    hide(globalThis, 'Function', off('Function', Function.prototype));
    off('GeneratorFunction', Object.getPrototypeOf(function* () {}));
    off('AsyncFunction', Object.getPrototypeOf(async function () {}));
    off('AsyncGeneratorFunction', Object.getPrototypeOf(async function* () {}));

    // Thrown to have tokens refreshed. The engine knows them by their names.
    for (const name of ['AuthRefreshException', 'AuthSessionException']) {
        const Exception = class extends Error {};
        Object.defineProperty(Exception, 'name', { value: name });
        hide(Exception.prototype, 'name', name);
        hide(globalThis, name, Exception);
    }

    const console = {};
    for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace']) {
        console[level] = say;
    }
    hide(globalThis, 'console', console);

    for (const name of Object.keys(fixed)) {
        const value = fixed[name];
        Object.freeze(value);
        Object.defineProperty(globalThis, name, {
            get: () => value,
            set: () => { throw new TypeError('`' + name + '` cannot be changed'); },
            enumerable: true,
            configurable: true,
        });
    }
})
